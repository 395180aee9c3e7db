// Subscriptions: messages as they come.
//
// It decides when a stream is opened again.
//
// Always true: what was delivered on a stream that has ended is not handed out any more, as the server has given it back.

import { timestampDate } from "@bufbuild/protobuf/wkt";
import { setTimeout as sleep } from "node:timers/promises";

import { Backoff } from "./backoff.js";
import type { Client } from "./client.js";
import type { Connection } from "./connection.js";
import { Delivery } from "./delivery.js";
import { duration } from "./duration.js";
import { BbqError } from "./error.js";
import type { Delivery as WireDelivery } from "./gen/bbq/v1/message_pb.js";
import { QueueService, type SubscribeResponse } from "./gen/bbq/v1/queue_service_pb.js";
import { guess, Leases } from "./leases.js";
import type { Settler } from "./settler.js";

/** What the server takes for 0. */
const IN_FLIGHT_DEFAULT = 100;
/** A stream that lasted so long was a success: the next one is opened without a long wait. */
const STEADY_MS = 10_000;

/** The longest reason of a nack, below the server's bound of 1 KiB. */
const REASON_BYTES_MAX = 1_000;

/** What a subscription may differ in from the defaults. */
export interface SubscribeOptions {
  /** The most messages held unsettled: 1 to 10,000, 100 by default. */
  maxInFlight?: number;
  /** The most bytes held unsettled; 16 MiB by default. One message always fits. */
  maxInFlightBytes?: number;
  /**
   * How long each lease lasts: 1 s to 12 h; what the queue says by default. Set it where the clocks of server and client may
   * differ by half of that: extending in time needs the length, and otherwise it is read from both clocks.
   */
  leaseMs?: number;
  /** What `bbq leases` shows; at most 128 bytes. */
  consumerName?: string;
  /** Whether leases are extended at half their time until their delivery is settled; true by default. */
  autoExtend?: boolean;
  /** Ends the subscription, as leaving its loop does. */
  signal?: AbortSignal;
  /**
   * Told what `run` would keep to itself: what a handler threw, and what a settlement failed with, of `run` or of the handler, after
   * which the message may come again. Without it these are warnings of the process.
   */
  onError?: (error: unknown, delivery: Delivery) => void;
}

/** What handles a message: acked when it returns, nacked with what it throws for a reason, unless it settles the message itself. */
export type Handler = (delivery: Delivery) => Promise<void> | void;

/** What a subscription stands on. */
export interface Ground {
  client: Client;
  connection: Connection;
  settler: Settler;
  deadlineMs: number;
}

/**
 * Messages as they come, each leased to this subscription: loop over it with `for await`, or give `run` a handler.
 *
 * It opens its call again, with backoff, when the connection is lost or the server is unavailable; any other error is thrown by the
 * loop, and so is a certificate that is not accepted. Leaving the loop ends it at once, and the server gives back what is held; `close`
 * sends what is on its way to be settled first.
 */
export class Subscription implements AsyncIterableIterator<Delivery>, AsyncDisposable {
  readonly #ground: Ground;
  readonly #options: SubscribeOptions;
  readonly #leases: Leases | undefined;
  readonly #cancel = new AbortController();
  readonly #reading: Promise<void>;
  #ready: Delivery[] = [];
  #error: BbqError | undefined;
  #ended = false;
  #changed: (() => void)[] = [];

  private constructor(ground: Ground, options: SubscribeOptions, first: AsyncIterable<SubscribeResponse>, cancel: AbortController) {
    this.#ground = ground;
    this.#options = options;
    this.#cancel = cancel;
    const { client, settler } = ground;
    const extend = (receipts: string[], withinMs: number) =>
      client.withDeadline(withinMs).extend(settler.queue, receipts, options.leaseMs);
    this.#leases = (options.autoExtend ?? true) ? new Leases(extend) : undefined;
    options.signal?.addEventListener("abort", () => cancel.abort(), { once: true });
    if (options.signal?.aborted) cancel.abort();
    cancel.signal.addEventListener("abort", () => this.#end());
    this.#reading = this.#read(first);
  }

  /** @internal Opens the stream. */
  static async open(ground: Ground, options: SubscribeOptions): Promise<Subscription> {
    const cancel = new AbortController();
    const first = await openStream(ground, options, cancel.signal).catch((reason: unknown) => {
      const error = BbqError.from(reason);
      // Nobody there, or nobody who answers in time, is the caller's to hear; a server that is going away is not.
      if (error.unreached || error.code === "DEADLINE_EXCEEDED" || !reopens(error)) throw error;
      return lost(error);
    });
    return new Subscription(ground, options, first, cancel);
  }

  /** The next message; done when the subscription was ended. Throws the error that ended it. */
  async next(): Promise<IteratorResult<Delivery>> {
    for (;;) {
      const delivery = this.#ready.shift();
      if (delivery !== undefined) {
        this.#notify();
        return { done: false, value: delivery };
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return { done: true, value: undefined };
      await this.#change();
    }
  }

  /** Ends the subscription at once; a loop that is left calls this. */
  async return(): Promise<IteratorResult<Delivery>> {
    this.#cancel.abort();
    await this.#reading;
    return { done: true, value: undefined };
  }

  /** Waits until all settlements on their way are answered, then ends the subscription. */
  async close(): Promise<void> {
    await this.#ground.settler.flush();
    await this.return();
  }

  /** Handles messages, `concurrency` at a time, until the subscription ends; that is 1 unless given. */
  async run(handler: Handler, concurrency = 1): Promise<void> {
    const worker = async () => {
      for (let item = await this.next(); !item.done; item = await this.next()) await this.#handle(handler, item.value);
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #handle(handler: Handler, delivery: Delivery): Promise<void> {
    const tell = (error: unknown) => (this.#options.onError ?? warn)(error, delivery);
    let thrown: unknown;
    let settle = () => delivery.ack();
    try {
      await handler(delivery);
    } catch (error) {
      thrown = error;
      tell(error);
      settle = () => delivery.nack({ reason: reasonOf(error) });
    }
    // If the handler has settled it, this is how that went.
    settle().catch((error: unknown) => {
      if (error !== thrown) tell(error);
    });
  }

  async #read(first: AsyncIterable<SubscribeResponse>): Promise<void> {
    const backoff = new Backoff();
    let stream: AsyncIterable<SubscribeResponse> | undefined = first;
    while (!this.#cancel.signal.aborted) {
      const opened = performance.now();
      let error = new BbqError("UNAVAILABLE", "the server ended the subscription");
      try {
        stream ??= await openStream(this.#ground, this.#options, this.#cancel.signal);
        for await (const response of stream) await this.#take(response.deliveries);
      } catch (reason) {
        error = BbqError.from(reason);
      }
      stream = undefined;
      this.#leases?.clear();
      // Without a receipt it was settled when it was sent, and nobody else gets it.
      this.#ready = this.#ready.filter((delivery) => delivery.receipt === "");
      if (this.#cancel.signal.aborted) break;
      if (!reopens(error)) {
        this.#error = error;
        break;
      }
      if (performance.now() - opened >= STEADY_MS) backoff.reset();
      await sleep(backoff.delay(error), undefined, { signal: this.#cancel.signal }).catch(() => {});
    }
    this.#end();
  }

  /** Hands out what came. All are leased by now, so all are held before the first is handed out. */
  async #take(deliveries: WireDelivery[]): Promise<void> {
    const { client, settler } = this.#ground;
    for (const wire of deliveries) {
      const expiresAt = wire.leaseExpiresAt && timestampDate(wire.leaseExpiresAt);
      if (wire.receipt !== "") this.#leases?.hold(wire.receipt, this.#options.leaseMs ?? guess(expiresAt));
      this.#ready.push(new Delivery(wire, client, settler, this.#leases));
    }
    this.#notify();
    // Credit bounds what is leased; what is gone once it is sent waits here instead.
    const bound = this.#options.maxInFlight || IN_FLIGHT_DEFAULT;
    while (this.#ready.length > bound && !this.#ended) await this.#change();
  }

  #end(): void {
    this.#ended = true;
    this.#ready = [];
    this.#leases?.clear();
    this.#notify();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #notify(): void {
    const changed = this.#changed;
    this.#changed = [];
    for (const resolve of changed) resolve();
  }
}

function openStream({ connection, settler, deadlineMs }: Ground, options: SubscribeOptions, signal: AbortSignal) {
  const request = {
    queue: settler.queue,
    maxInFlight: options.maxInFlight ?? 0,
    maxInFlightBytes: BigInt(options.maxInFlightBytes ?? 0),
    consumerName: options.consumerName ?? "",
    ...(options.leaseMs === undefined ? {} : { leaseDuration: duration(options.leaseMs) }),
  };
  return connection.open(QueueService.method.subscribe, request, signal, deadlineMs);
}

/** A stream that was lost before anything came. */
async function* lost(error: BbqError): AsyncIterable<SubscribeResponse> {
  throw error;
}

function warn(error: unknown, { queue, sequence }: Delivery): void {
  process.emitWarning(`message ${sequence} of ${queue}: ${String(error)}`, "BbqWarning");
}

/** What was thrown, as a nack may say it: whole characters, within the bound of a reason. */
export function reasonOf(thrown: unknown): string {
  const bytes = new TextEncoder().encode(String(thrown));
  // A stream keeps back the character that the cut has torn.
  return new TextDecoder().decode(bytes.subarray(0, REASON_BYTES_MAX), { stream: true });
}

/** Whether opening the stream again may help. */
function reopens(error: BbqError): boolean {
  if (error.final) return false;
  if (error.code === "UNAVAILABLE" || error.code === "DEADLINE_EXCEEDED") return true;
  return error.code === "RESOURCE_EXHAUSTED" && error.retryAfterMs !== undefined;
}
