// When leases are extended, with a clock that the test moves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { guess, Leases } from "../src/leases.js";

test("a lease whose length is not known is guessed low, never beyond half a minute or below a second", () => {
  assert.equal(guess(new Date(100_000), 80_000), 20_000);
  assert.equal(guess(new Date(100_000), 0), 30_000);
  assert.equal(guess(new Date(100_000), 200_000), 1_000);
  assert.equal(guess(undefined, 5), 1_000);
});

test("what is held is extended at half its time, together, until it is released", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  context.mock.method(performance, "now", () => now);
  const calls: string[][] = [];
  const leases = new Leases(async (receipts) => {
    calls.push(receipts);
    return [];
  });
  const pass = async (ms: number) => {
    now += ms;
    context.mock.timers.tick(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  leases.hold("a", 10_000);
  leases.hold("b", 10_000);
  await pass(4_999);
  assert.deepEqual(calls, []);
  await pass(1);
  assert.deepEqual(calls, [["a", "b"]]);
  leases.release("a");
  await pass(5_000);
  assert.deepEqual(calls, [["a", "b"], ["b"]]);
  leases.clear();
  await pass(60_000);
  assert.equal(calls.length, 2);
});
