// What every scenario uses: the host, waiting with a bound, and what must hold.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { BbqError, type Client, type Delivery, type ErrorCode, type Subscription } from "../src/index.js";

/** The longest that anything which must happen may take. */
const BOUND_MS = 60_000;

/** What the host's command line says. */
export interface Task {
  client: Client;
  queue: string;
  messages: number;
  subscriptions: number;
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Tells the host something. */
export function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Asks the host for something and waits until it is done. */
export async function ask(what: string): Promise<Record<string, unknown>> {
  say({ ask: what });
  const answer = await within(answers.next(), `the host's answer to ${what}`);
  assert(!answer.done, "the host is gone");
  return JSON.parse(answer.value) as Record<string, unknown>;
}

/** What comes, or a failure that names it. */
export async function within<T>(promise: Promise<T>, what: string, ms = BOUND_MS): Promise<T> {
  const done = new AbortController();
  const late = sleep(ms, undefined, { signal: done.signal }).then(() => assert.fail(`not within ${ms} ms: ${what}`));
  late.catch(() => {});
  return Promise.race([promise, late]).finally(() => done.abort());
}

/** Repeats until it holds. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND_MS;
  while (!(await holds())) {
    assert(performance.now() < end, `not within ${BOUND_MS} ms: ${what}`);
    await sleep(20);
  }
}

/** The next deliveries of a subscription. */
export async function take(subscription: Subscription, count: number, ms = BOUND_MS): Promise<Delivery[]> {
  const taken: Delivery[] = [];
  const all = async () => {
    while (taken.length < count) {
      const item = await subscription.next();
      assert(!item.done, "the subscription ended");
      taken.push(item.value);
    }
    return taken;
  };
  return within(all(), `${count} deliveries`, ms);
}

/** The queue's counts become these. */
export async function untilCounts(client: Client, queue: string, ready: number, leased: number, consumers?: number): Promise<void> {
  const wanted = JSON.stringify([ready, leased, consumers]);
  await until(`ready, leased, consumers of ${queue} are ${wanted}`, async () => {
    const stats = (await client.admin.getQueue({ name: queue })).queue?.stats;
    assert(stats);
    const found = [Number(stats.ready), Number(stats.leased), consumers === undefined ? undefined : Number(stats.consumers)];
    return JSON.stringify(found) === wanted;
  });
}

/** A call fails with this code and reason. */
export async function fails(call: Promise<unknown>, code: ErrorCode, reason?: string | null): Promise<BbqError> {
  const error = await within(call, `a failure, ${code}`).then(
    () => assert.fail(`succeeded; wanted ${code} ${reason}`),
    (error: unknown) => error,
  );
  assert(error instanceof BbqError, String(error));
  const found = `${error.code} ${error.reason ?? null}`;
  if (reason === undefined) assert.equal(error.code, code, error.message);
  else assert.equal(found, `${code} ${reason}`, error.message);
  return error;
}
