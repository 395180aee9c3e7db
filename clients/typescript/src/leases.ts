// Keeping leases: those of deliveries that are held are extended at half their time.
//
// It decides when. It never learns what a delivery is for, and gives nothing back.

import type { ReceiptFailure } from "./gen/bbq/v1/message_pb.js";

const LEASE_MIN_MS = 1_000;
/**
 * The longest that is believed of a lease whose length is not known: it is read from two clocks, and extending too often costs
 * less than extending too late.
 */
const LEASE_GUESS_MAX_MS = 30_000;

interface Lease {
  halfMs: number;
  due: number;
}

/** How long a lease that ends at `expiresAt` by the server's clock lasts, guessed low. */
export function guess(expiresAt: Date | undefined, now = Date.now()): number {
  const left = (expiresAt?.getTime() ?? now) - now;
  return Math.min(Math.max(left, LEASE_MIN_MS), LEASE_GUESS_MAX_MS);
}

/** The leases of one subscription. */
export class Leases {
  readonly #held = new Map<string, Lease>();
  #timer: NodeJS.Timeout | undefined;
  #rings = Infinity;

  /** `extend` makes the call, which is worth nothing after so long. */
  constructor(readonly extend: (receipts: string[], withinMs: number) => Promise<ReceiptFailure[]>) {}

  /** Keeps a lease of this length until it is released. */
  hold(receipt: string, lengthMs: number): void {
    const halfMs = Math.max(lengthMs, LEASE_MIN_MS) / 2;
    this.#held.set(receipt, { halfMs, due: performance.now() + halfMs });
    this.#ring(performance.now() + halfMs);
  }

  /** Keeps it no longer. */
  release(receipt: string): void {
    this.#held.delete(receipt);
  }

  /** Forgets all: their stream has ended, and they with it. */
  clear(): void {
    this.#held.clear();
    clearTimeout(this.#timer);
    this.#rings = Infinity;
  }

  #ring(at: number): void {
    if (at >= this.#rings) return;
    clearTimeout(this.#timer);
    this.#rings = at;
    this.#timer = setTimeout(() => void this.#extendDue(), Math.max(at - performance.now(), 0));
  }

  /** One call for all that is due now, or nearly. */
  async #extendDue(): Promise<void> {
    this.#rings = Infinity;
    const now = performance.now();
    const due = [...this.#held].filter(([, lease]) => lease.due <= now + lease.halfMs / 4);
    for (const [, lease] of due) lease.due = Infinity;
    if (due.length > 0) {
      const withinMs = Math.min(...due.map(([, lease]) => lease.halfMs));
      try {
        const failures = await this.extend(due.map(([receipt]) => receipt), withinMs);
        for (const [, lease] of due) lease.due = performance.now() + lease.halfMs;
        for (const failure of failures) this.#held.delete(failure.receipt);
      } catch {
        for (const [, lease] of due) lease.due = performance.now() + lease.halfMs / 4;
      }
    }
    let next = Infinity;
    for (const lease of this.#held.values()) next = Math.min(next, lease.due);
    if (next < Infinity) this.#ring(next);
  }
}
