// The client: every call of the data plane, and the generated ones of the control plane.
//
// It decides the shape of the calls; how they are made and repeated is the connection's.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, createClient, makeAnyClient, type Client as GeneratedClient } from "@connectrpc/connect";
import { setTimeout as sleep } from "node:timers/promises";

import { Connection, type Repeat } from "./connection.js";
import { Delivery } from "./delivery.js";
import { duration } from "./duration.js";
import { BbqError } from "./error.js";
import { AdminService } from "./gen/bbq/v1/admin_service_pb.js";
import type { Message as WireMessage, ReceiptFailure } from "./gen/bbq/v1/message_pb.js";
import * as wire from "./gen/bbq/v1/queue_service_pb.js";
import { type Publishable, wireMessage } from "./message.js";
import type { Profile } from "./profile.js";
import { type Published, Publisher, type PublisherOptions } from "./publisher.js";
import { type Nack, Settler } from "./settler.js";
import { type SubscribeOptions, Subscription } from "./subscription.js";

/** How long a call may take unless the client is told otherwise. */
export const DEADLINE_MS = 30_000;
/** The most receipts of one Ack, Nack or Extend. */
const RECEIPTS_MAX = 10_000;
/** How long `close` waits for what publishers took: losing that loses messages. */
const CLOSE_PUBLISHERS_MS = 10_000;
/** How long `close` waits for settlements: losing one only brings its message again. */
const CLOSE_SETTLERS_MS = 1_000;
/** Calls of the control plane that do more, or fail, the second time. */
const ONCE = new Set(["DeleteQueue", "PurgeQueue", "DeleteTopic", "Unbind", "CreateToken", "RevokeToken"]);

/** What a Receive may differ in from the defaults. */
export interface ReceiveOptions {
  /** The most messages to return: 1, the default, to 1,000. */
  maxMessages?: number;
  /** How long to wait for the first message, at most 60 s; none by default. */
  waitMs?: number;
  /** How long each lease lasts: 1 s to 12 h; the queue's setting by default. */
  leaseMs?: number;
  /** What `bbq leases` shows; at most 128 bytes. */
  consumerName?: string;
}

/** What has to be finished, of all clients of one connection, before it is closed. */
interface Unfinished {
  readonly settlers: Set<Settler>;
  readonly publishers: Set<Publisher>;
}

/**
 * A client of one server.
 *
 * Each call may take 30 s, or what `withDeadline` says. A call that failed because the server was not reached, or said that it did
 * nothing, is repeated within that time with backoff and jitter; those that do their work only once however often they are made
 * (all but publishing, receiving and transactions) also after a lost connection.
 */
export class Client implements AsyncDisposable {
  /** Every call of the control plane, as it is generated, with the same deadlines, repeats and errors. */
  readonly admin: GeneratedClient<typeof AdminService>;
  /** By queue. A settlement takes the deadline of the client that its message was delivered to. */
  readonly #settlers = new Map<string, Settler>();

  private constructor(
    private readonly connection: Connection,
    private readonly deadlineMs: number,
    private readonly unfinished: Unfinished,
  ) {
    this.admin = adminOf(connection, deadlineMs);
  }

  /** Connects to the server that the profile names; a URL alone is a profile too. */
  static async connect(profile: Profile | string): Promise<Client> {
    const client = Client.connectLazily(profile);
    await client.connection.connect();
    return client;
  }

  /** The same, but connects with the first call. */
  static connectLazily(profile: Profile | string): Client {
    const connection = new Connection(typeof profile === "string" ? { url: profile } : profile);
    return new Client(connection, DEADLINE_MS, { settlers: new Set(), publishers: new Set() });
  }

  /** A client on the same connection whose calls may take so long. */
  withDeadline(deadlineMs: number): Client {
    return new Client(this.connection, deadlineMs, this.unfinished);
  }

  /** Where this client connects to, as the profile has it. */
  get url(): string {
    return this.connection.url;
  }

  /** Publishes one message and returns its number in the queue once it is confirmed. */
  async publish(queue: string, message: Publishable): Promise<bigint> {
    const [published] = await this.publishAll(queue, [message]);
    return published!.sequence;
  }

  /** Publishes messages, all or none, in order: at most 10,000, and what fits the server's `limits.request_bytes`. */
  async publishAll(queue: string, messages: Publishable[]): Promise<Published[]> {
    return this.publishWire({ case: "queue", value: queue }, "", messages.map(wireMessage));
  }

  /** Publishes messages with one routing key to a topic, all or none: for each the queues that took it, none if no binding matches. */
  async publishToTopic(topic: string, routingKey: string, messages: Publishable[]): Promise<wire.RoutedMessage[][]> {
    const results = await this.publishWire({ case: "topic", value: topic }, routingKey, messages.map(wireMessage));
    return results.map((result) => result.routed);
  }

  /** @internal Publishes messages that are in their wire form already. */
  async publishWire(target: wire.PublishRequest["target"], routingKey: string, messages: WireMessage[]): Promise<wire.PublishResult[]> {
    if (messages.length === 0) return [];
    const request = { target, routingKey, messages };
    const { results } = await this.connection.unary(wire.QueueService.method.publish, request, "unprocessed", this.deadlineMs);
    if (results.length === messages.length) return results;
    throw new BbqError("INTERNAL", "the server's answer to a publish does not have one result for each message");
  }

  /** Settles and publishes over several queues of one namespace, both or neither. Safe to repeat with the same `transactionId`. */
  async transact(request: MessageInitShape<typeof wire.TransactRequestSchema>): Promise<wire.PublishResponse[]> {
    const repeat: Repeat = request.transactionId ? "anytime" : "unprocessed";
    const response = await this.connection.unary(wire.QueueService.method.transact, request, repeat, this.deadlineMs);
    return response.publishes;
  }

  /** Many messages to one queue, few calls. */
  publisher(queue: string, options?: PublisherOptions): Publisher {
    return new Publisher(this, this.unfinished.publishers, queue, options);
  }

  /** Messages as they come. */
  subscribe(queue: string, options: SubscribeOptions = {}): Promise<Subscription> {
    const { connection, deadlineMs } = this;
    return Subscription.open({ client: this, connection, settler: this.#settler(queue), deadlineMs }, options);
  }

  /** Waits for messages and returns them, none if none came; leased by deadline alone, and extended by nobody. */
  async receive(queue: string, options: ReceiveOptions = {}): Promise<Delivery[]> {
    const waitMs = options.waitMs ?? 0;
    const request = {
      queue,
      maxMessages: options.maxMessages ?? 1,
      wait: duration(waitMs),
      consumerName: options.consumerName ?? "",
      ...(options.leaseMs === undefined ? {} : { leaseDuration: duration(options.leaseMs) }),
    };
    const response = await this.connection.unary(wire.QueueService.method.receive, request, "unprocessed", this.deadlineMs + waitMs);
    const settler = this.#settler(queue);
    return response.deliveries.map((delivery) => new Delivery(delivery, this, settler));
  }

  /** Settles messages for good. Returns the receipts that settled nothing; the others did. */
  ack(queue: string, receipts: string[]): Promise<ReceiptFailure[]> {
    return this.#inParts(receipts, (part) =>
      this.connection.unary(wire.QueueService.method.ack, { queue, receipts: part }, "anytime", this.deadlineMs),
    );
  }

  /** Gives messages back for another attempt. Returns the receipts that gave nothing back; the others did. */
  nack(queue: string, receipts: string[], how: Nack = {}): Promise<ReceiptFailure[]> {
    const rest = {
      deadLetter: how.deadLetter ?? false,
      reason: how.reason ?? "",
      ...(how.delayMs === undefined ? {} : { delay: duration(how.delayMs) }),
    };
    return this.#inParts(receipts, (part) =>
      this.connection.unary(wire.QueueService.method.nack, { queue, receipts: part, ...rest }, "anytime", this.deadlineMs),
    );
  }

  /** Moves the end of leases to `leaseMs` from now, or to what the queue says. Returns the receipts that extended nothing. */
  extend(queue: string, receipts: string[], leaseMs?: number): Promise<ReceiptFailure[]> {
    const rest = leaseMs === undefined ? {} : { leaseDuration: duration(leaseMs) };
    return this.#inParts(receipts, (part) =>
      this.connection.unary(wire.QueueService.method.extend, { queue, receipts: part, ...rest }, "anytime", this.deadlineMs),
    );
  }

  /**
   * Waits for what publishers took, for 10 s at most, and for settlements on their way, for 1 s; then ends every call and subscription
   * of this connection and closes it. The server gives back what was held. Calls after it, also on other clients of the connection,
   * fail with `CANCELLED`. Throws, when all is closed, if a message that a publisher had taken was not confirmed.
   */
  async close(): Promise<void> {
    const { publishers, settlers } = this.unfinished;
    const published = Promise.all([...publishers].map((publisher) => publisher.drain()));
    const settled = Promise.all([...settlers].map((settler) => settler.flush()));
    await Promise.all([within(published, CLOSE_PUBLISHERS_MS), within(settled, CLOSE_SETTLERS_MS)]);
    this.connection.close();
    // What was still in flight fails now.
    const failed = (await published).find((error) => error !== undefined);
    if (failed !== undefined) throw failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #inParts(receipts: string[], call: (part: string[]) => Promise<{ failures: ReceiptFailure[] }>): Promise<ReceiptFailure[]> {
    const failures: ReceiptFailure[] = [];
    for (let start = 0; start < receipts.length; start += RECEIPTS_MAX) {
      failures.push(...(await call(receipts.slice(start, start + RECEIPTS_MAX))).failures);
    }
    return failures;
  }

  #settler(queue: string): Settler {
    const settler = this.#settlers.get(queue) ?? new Settler(this, this.unfinished.settlers, queue);
    this.#settlers.set(queue, settler);
    return settler;
  }
}

/** Waits until it is there, but no longer. */
async function within(what: Promise<unknown>, ms: number): Promise<void> {
  const late = new AbortController();
  await Promise.race([what, sleep(ms, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
}

/** The generated client, its calls made as all others are. */
function adminOf(connection: Connection, deadlineMs: number): GeneratedClient<typeof AdminService> {
  const generated = createClient(AdminService, connection.transport);
  const calls = makeAnyClient(AdminService, (method) => {
    if (method.methodKind === "unary") {
      const repeat: Repeat = ONCE.has(method.name) ? "unprocessed" : "anytime";
      return (request: never) => connection.unary(method, request, repeat, deadlineMs);
    }
    const stream = generated[method.localName as "watchStats"];
    return (request: never, options?: CallOptions) =>
      connection.answers((signal) => stream(request, { ...options, signal }), options?.signal);
  });
  return calls as GeneratedClient<typeof AdminService>;
}
