// Deliveries: messages in this consumer's hands.
//
// It decides what settling one means. It never calls the server itself.

import { timestampDate } from "@bufbuild/protobuf/wkt";

import type { Client } from "./client.js";
import { ReceiptError } from "./error.js";
import type { Delivery as WireDelivery } from "./gen/bbq/v1/message_pb.js";
import type { Leases } from "./leases.js";
import { type Nack, type Settler, verdict } from "./settler.js";

/**
 * A message, leased to this consumer until it is settled or the lease ends.
 *
 * While one of a subscription is neither settled nor its subscription ended, its lease is extended, unless that was switched off.
 * So each has to be settled some time. One of an at-most-once queue is settled already: acking it does nothing.
 */
export class Delivery {
  readonly body: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
  readonly priority: number;
  readonly deduplicationId: string;
  /** Names this attempt at this message; settles it from anywhere. Empty in an at-most-once queue. */
  readonly receipt: string;
  /** The message's number in its queue. */
  readonly sequence: bigint;
  /** 1 for the first delivery, one more for each lease after it. */
  readonly attempt: number;
  /** When the message was published, by the server's clock. */
  readonly publishedAt: Date | undefined;
  /** When the lease ends unless it is extended, by the server's clock; as of the delivery. */
  readonly leaseExpiresAt: Date | undefined;
  #settled: Promise<void> | undefined;
  #verdict = "";
  /** Whether the settlement failed, and not because the server said so of its receipt. */
  #unanswered = false;

  /** @internal */
  constructor(
    wire: WireDelivery,
    private readonly client: Client,
    private readonly settler: Settler,
    private readonly leases?: Leases,
  ) {
    this.body = wire.message?.body ?? new Uint8Array();
    this.attributes = wire.message?.attributes ?? {};
    this.orderingKey = wire.message?.orderingKey ?? "";
    this.priority = wire.message?.priority ?? 0;
    this.deduplicationId = wire.message?.deduplicationId ?? "";
    this.receipt = wire.receipt;
    this.sequence = wire.sequence;
    this.attempt = wire.attempt;
    this.publishedAt = wire.publishedAt && timestampDate(wire.publishedAt);
    this.leaseExpiresAt = wire.leaseExpiresAt && timestampDate(wire.leaseExpiresAt);
  }

  /** The queue it came from. */
  get queue(): string {
    return this.settler.queue;
  }

  /** The body as UTF-8. */
  text(): string {
    return new TextDecoder().decode(this.body);
  }

  /**
   * Settles the message for good. It is on its way when this returns; awaiting it tells what became of it.
   *
   * The first settlement of a delivery counts: any further one, of either kind, has the outcome of the first. The same one may be
   * tried again if no answer came.
   */
  ack(): Promise<void> {
    return this.#settle();
  }

  /** Gives the message back for another attempt, in some way. See `ack`. */
  nack(how: Nack = {}): Promise<void> {
    return this.#settle(how);
  }

  /** Moves the end of the lease to `leaseMs` from now: 1 s to 12 h. */
  async extend(leaseMs: number): Promise<void> {
    if (this.receipt === "") return;
    const [failure] = await this.client.extend(this.queue, [this.receipt], leaseMs);
    if (failure !== undefined) throw new ReceiptError(failure.receipt, failure.reason);
  }

  /** Whether it was acked or nacked here. */
  get settled(): boolean {
    return this.#settled !== undefined;
  }

  #settle(how?: Nack): Promise<void> {
    if (this.receipt === "") return Promise.resolve();
    const again = this.#unanswered && this.#verdict === verdict(how);
    if (this.#settled !== undefined && !again) return this.#settled;
    this.#verdict = verdict(how);
    this.#unanswered = false;
    this.#settled = this.settler.settle(this.receipt, how);
    // The lease is kept until the settlement is answered.
    const release = () => this.leases?.release(this.receipt);
    this.#settled.then(release, (error: unknown) => {
      release();
      this.#unanswered = !(error instanceof ReceiptError);
    });
    return this.#settled;
  }
}
