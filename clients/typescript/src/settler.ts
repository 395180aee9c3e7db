// Settlements: acks and nacks on their way, many to a call.
//
// It decides how settlements of one queue are batched: one round of calls in flight while the next one fills.
//
// Always true: what was settled before a flush is answered before the flush is; a settlement that nobody awaits fails silently, and its
// message comes back when its lease ends.

import { ReceiptError } from "./error.js";
import type { ReceiptFailure } from "./gen/bbq/v1/message_pb.js";

/** How to give messages back. */
export interface Nack {
  /** How long they wait before their next attempt; the queue's backoff if none. */
  delayMs?: number;
  /** Dead-letter them now instead of another attempt. */
  deadLetter?: boolean;
  /** Kept with dead-lettered messages; at most 1 KiB. */
  reason?: string;
}

/** What settlements that are the same have in common: those of one queue share a call. */
export function verdict(how: Nack | undefined): string {
  return how === undefined ? "" : JSON.stringify([how.delayMs, how.deadLetter, how.reason]);
}

/** The calls that settle. */
export interface Settling {
  ack(queue: string, receipts: string[]): Promise<ReceiptFailure[]>;
  nack(queue: string, receipts: string[], how: Nack): Promise<ReceiptFailure[]>;
}

interface Entry {
  receipt: string;
  resolve: () => void;
  reject: (error: unknown) => void;
}

interface Group {
  how: Nack | undefined;
  entries: Entry[];
}

/** The settlements of one queue. */
export class Settler {
  readonly #pending = new Set<Promise<void>>();
  #next = new Map<string, Group>();
  #running = false;

  /** `busy` has it while anything is on its way. */
  constructor(
    readonly client: Settling,
    readonly busy: Set<Settler>,
    readonly queue: string,
  ) {}

  /** Settles one receipt: an ack, or a nack in some way. */
  settle(receipt: string, how?: Nack): Promise<void> {
    const settled = new Promise<void>((resolve, reject) => {
      const key = verdict(how);
      const group = this.#next.get(key) ?? { how, entries: [] };
      group.entries.push({ receipt, resolve, reject });
      this.#next.set(key, group);
    });
    this.#pending.add(settled);
    this.busy.add(this);
    // Whoever awaits it sees the error; it is no unhandled one if nobody does.
    const done = () => {
      this.#pending.delete(settled);
      if (this.#pending.size === 0) this.busy.delete(this);
    };
    settled.then(done, done);
    if (!this.#running) void this.#run();
    return settled;
  }

  /** Waits until all that was given before is answered. */
  async flush(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#next.size > 0) {
      // What is settled in the same turn of the loop shares the first call.
      await new Promise((resolve) => setImmediate(resolve));
      const groups = [...this.#next.values()];
      this.#next = new Map();
      await Promise.all(groups.map((group) => this.#settle(group)));
    }
    this.#running = false;
  }

  async #settle({ how, entries }: Group): Promise<void> {
    const receipts = entries.map((entry) => entry.receipt);
    try {
      const failures =
        how === undefined ? await this.client.ack(this.queue, receipts) : await this.client.nack(this.queue, receipts, how);
      const why = new Map(failures.map((failure) => [failure.receipt, failure.reason]));
      for (const entry of entries) {
        const reason = why.get(entry.receipt);
        if (reason === undefined) entry.resolve();
        else entry.reject(new ReceiptError(entry.receipt, reason));
      }
    } catch (error) {
      for (const entry of entries) entry.reject(error);
    }
  }
}
