// The publisher: many messages, few calls.
//
// It decides which messages share a call. It never waits for a call to fill: what is there goes as soon as a call may be made, and
// while it is in flight the next one fills.
//
// Always true: with one call in flight messages are stored in the order of `publish`; the error of a call reaches the messages that it
// is about, as a call that is refused because of one message is split until that one is alone.

import type { Client } from "./client.js";
import { BbqError } from "./error.js";
import type { Message as WireMessage } from "./gen/bbq/v1/message_pb.js";
import { type Publishable, wireMessage } from "./message.js";

/** What became of one published message. */
export interface Published {
  /** The message's number in its queue. */
  sequence: bigint;
  /** A message with the same deduplication id was there before; `sequence` is its number. */
  duplicate: boolean;
}

/** What a publisher may do at once. */
export interface PublisherOptions {
  /** The most messages of one call: 1 to 10,000, 1,000 by default. */
  callMessagesMax?: number;
  /** The most bytes of one call, 1 MiB by default; a larger message goes alone. */
  callBytesMax?: number;
  /** How many calls are in flight, 1 by default. More than one hides the round trip, and gives up the order between calls. */
  callsInFlight?: number;
  /** How many messages may be unconfirmed before `send` waits, 10,000 by default. */
  unconfirmedMax?: number;
}

interface Entry {
  message: WireMessage;
  bytes: number;
  resolve: (published: Published) => void;
  reject: (error: BbqError) => void;
}

/** Publishes many messages to one queue; made by `Client.publisher`. */
export class Publisher {
  readonly #options: Required<PublisherOptions>;
  #waiting: Entry[] = [];
  #calls = 0;
  #unconfirmed = 0;
  #failed: BbqError | undefined;
  #answered: (() => void)[] = [];

  /** @internal */
  constructor(
    private readonly client: Client,
    readonly queue: string,
    options: PublisherOptions = {},
  ) {
    const defaults = { callMessagesMax: 1_000, callBytesMax: 1024 * 1024, callsInFlight: 1, unconfirmedMax: 10_000 };
    this.#options = { ...defaults, ...options };
  }

  /** Takes the message at once; resolves when it is confirmed. Awaiting each is slow, awaiting none unbounded: see `send`. */
  publish(message: Publishable): Promise<Published> {
    const wire = wireMessage(message);
    const published = new Promise<Published>((resolve, reject) => {
      this.#waiting.push({ message: wire, bytes: roughBytes(wire), resolve, reject });
    });
    // Whoever awaits it sees the error, and so does `flush`; it is no unhandled one if nobody does.
    published.catch(() => {});
    this.#unconfirmed += 1;
    // What is published in the same turn of the loop shares the first call.
    queueMicrotask(() => this.#start());
    return published;
  }

  /** Takes the message; resolves when there is room for the next one. Errors are left to `flush`. */
  async send(message: Publishable): Promise<void> {
    void this.publish(message);
    while (this.#unconfirmed >= this.#options.unconfirmedMax) await this.#answer();
  }

  /** Waits until all that was taken is answered. Throws the first error since the last flush. */
  async flush(): Promise<void> {
    while (this.#unconfirmed > 0) await this.#answer();
    const failed = this.#failed;
    this.#failed = undefined;
    if (failed !== undefined) throw failed;
  }

  #start(): void {
    while (this.#calls < this.#options.callsInFlight && this.#waiting.length > 0) {
      this.#calls += 1;
      void this.#call(this.#batch()).finally(() => {
        this.#calls -= 1;
        this.#start();
      });
    }
  }

  /** The next call's messages: at least one. */
  #batch(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const entry of this.#waiting) {
      bytes += entry.bytes;
      if (count > 0 && (count >= this.#options.callMessagesMax || bytes > this.#options.callBytesMax)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /** One call, or several if one message of many is refused. */
  async #call(batch: Entry[]): Promise<void> {
    try {
      const published = await this.client.publishWire({ case: "queue", value: this.queue }, "", batch.map((entry) => entry.message));
      batch.forEach((entry, index) => entry.resolve(published[index]!));
    } catch (reason) {
      const error = BbqError.from(reason);
      if (error.code === "INVALID_ARGUMENT" && batch.length > 1) {
        // All or none: nothing of it was stored, so the halves may be sent, the first one first.
        const half = batch.length >> 1;
        await this.#call(batch.slice(0, half));
        return this.#call(batch.slice(half));
      }
      this.#failed ??= error;
      for (const entry of batch) entry.reject(error);
    }
    this.#unconfirmed -= batch.length;
    const answered = this.#answered;
    this.#answered = [];
    for (const resolve of answered) resolve();
  }

  #answer(): Promise<void> {
    return new Promise((resolve) => this.#answered.push(resolve));
  }
}

/** About what it takes on the wire. */
function roughBytes(message: WireMessage): number {
  let bytes = message.body.length + message.orderingKey.length + message.deduplicationId.length + 32;
  for (const [key, value] of Object.entries(message.attributes)) bytes += key.length + value.length + 8;
  return bytes;
}
