// The publisher: many messages, few calls.
//
// It decides which messages share a call. It never waits for a call to fill: what is there goes as soon as a call may be made, and
// while it is in flight the next one fills.
//
// Always true: with one call in flight messages are stored in the order of `publish`; the error of a call reaches the messages that it
// is about, as a call that is refused because of one message is split until that one is alone; what was taken before a close is
// answered before it is.

import { BbqError, closed } from "./error.js";
import type { Message as WireMessage } from "./gen/bbq/v1/message_pb.js";
import { encodedBytes, type Publishable, wireMessage } from "./message.js";

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

/** The call that publishes. */
export interface Publishing {
  publishWire(target: { case: "queue"; value: string }, routingKey: string, messages: WireMessage[]): Promise<Published[]>;
}

interface Entry {
  message: WireMessage;
  bytes: number;
  resolve: (published: Published) => void;
  reject: (error: BbqError) => void;
}

/** Publishes many messages to one queue; made by `Client.publisher`. */
export class Publisher implements AsyncDisposable {
  readonly #options: Required<PublisherOptions>;
  #waiting: Entry[] = [];
  #calls = 0;
  #unconfirmed = 0;
  #failed: BbqError | undefined;
  /** What the last message that failed did so with. */
  #last: BbqError | undefined;
  #closed: "publisher" | "client" | undefined;
  #answered: (() => void)[] = [];

  /** @internal `busy` has it while anything is unconfirmed. */
  constructor(
    private readonly client: Publishing,
    private readonly busy: Set<Publisher>,
    readonly queue: string,
    options: PublisherOptions = {},
  ) {
    const defaults = { callMessagesMax: 1_000, callBytesMax: 1024 * 1024, callsInFlight: 1, unconfirmedMax: 10_000 };
    this.#options = { ...defaults, ...options };
  }

  /** Takes the message at once; resolves when it is confirmed. Awaiting each is slow, awaiting none unbounded: see `send`. */
  publish(message: Publishable): Promise<Published> {
    let entry: Pick<Entry, "message" | "bytes">;
    try {
      this.#check();
      const wire = wireMessage(message);
      entry = { message: wire, bytes: encodedBytes(wire) };
    } catch (reason) {
      const error = BbqError.from(reason);
      this.#failed ??= error;
      return unobserved(Promise.reject<Published>(error));
    }
    const published = new Promise<Published>((resolve, reject) => {
      this.#waiting.push({ ...entry, resolve, reject });
    });
    this.#unconfirmed += 1;
    this.busy.add(this);
    // What is published in the same turn of the loop shares the first call.
    queueMicrotask(() => this.#start());
    return unobserved(published);
  }

  /** Takes the message; resolves when there is room for the next one. Errors are left to `flush`, but for that of a closed publisher. */
  async send(message: Publishable): Promise<void> {
    this.#check();
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

  /** Takes nothing any more, and flushes. */
  async close(): Promise<void> {
    this.#closed ??= "publisher";
    await this.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal Takes nothing any more, as its client is closing; waits for what was taken, and returns an error of that. */
  async drain(): Promise<BbqError | undefined> {
    this.#closed ??= "client";
    const before = this.#last;
    while (this.#unconfirmed > 0) await this.#answer();
    return this.#last === before ? undefined : this.#last;
  }

  #check(): void {
    if (this.#closed !== undefined) throw closed(this.#closed);
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
      if (error.ofOneMessage && batch.length > 1) {
        // All or none: nothing of it was stored, so the halves may be sent, the first one first.
        const half = batch.length >> 1;
        await this.#call(batch.slice(0, half));
        return this.#call(batch.slice(half));
      }
      this.#failed ??= error;
      this.#last = error;
      for (const entry of batch) entry.reject(error);
    }
    this.#unconfirmed -= batch.length;
    if (this.#unconfirmed === 0) this.busy.delete(this);
    const answered = this.#answered;
    this.#answered = [];
    for (const resolve of answered) resolve();
  }

  #answer(): Promise<void> {
    return new Promise((resolve) => this.#answered.push(resolve));
  }
}

/** Whoever awaits it sees the error, and so does `flush`; it is no unhandled one if nobody does. */
function unobserved<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
