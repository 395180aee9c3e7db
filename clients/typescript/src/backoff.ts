// Delays between tries: a random part of a bound that doubles, up to 100 ms first, up to 5 s in the end.

import type { BbqError } from "./error.js";

const INITIAL_MS = 100;
const MAX_MS = 5_000;

/** The delays of one thing that is tried again and again. */
export class Backoff {
  #bound = INITIAL_MS;

  /** The next delay: at least what the server asked for. */
  delay(error: BbqError): number {
    const jittered = Math.random() * this.#bound;
    this.#bound = Math.min(this.#bound * 2, MAX_MS);
    return (error.retryAfterMs ?? 0) + jittered;
  }

  /** Starts over after a success. */
  reset(): void {
    this.#bound = INITIAL_MS;
  }
}
