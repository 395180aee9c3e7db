// What becomes of a message that a handler was given, and who hears of what went wrong.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { Client } from "../src/client.js";
import { ReceiptFailureReason } from "../src/gen/bbq/v1/message_pb.js";
import type { NackRequest } from "../src/gen/bbq/v1/queue_service_pb.js";
import { type Handler, reasonOf, type SubscribeOptions } from "../src/subscription.js";
import { gate, serve } from "./server.js";

/** Hands out one message, `r1`, whose settlements are refused if asked to be; tells its nack, and what `onError` was told. */
async function handled(context: TestContext, handler: Handler, refuse = false) {
  const settled = gate();
  const nacks: NackRequest[] = [];
  const answer = (receipts: string[]) => {
    const failures = receipts.map((receipt) => ({ receipt, reason: ReceiptFailureReason.SUPERSEDED }));
    setImmediate(settled.open);
    return { failures: refuse ? failures : [] };
  };
  const url = await serve(context, {
    async *subscribe(_, { signal }) {
      yield { deliveries: [{ receipt: "r1", sequence: 1n, attempt: 1, message: { body: new Uint8Array() } }] };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
    ack: (request) => answer(request.receipts),
    nack: (request) => {
      nacks.push(request);
      return answer(request.receipts);
    },
  });
  const told: string[] = [];
  const client = await Client.connect(url);
  const options: SubscribeOptions = { onError: (error, delivery) => void told.push(`${delivery.receipt} ${String(error)}`) };
  const subscription = await client.subscribe("q", options);
  const running = subscription.run(handler);
  await settled.opened;
  await subscription.close();
  await running;
  await client.close();
  return { told, nacks };
}

test("a message whose handler returns is acked in silence", async (context) => {
  assert.deepEqual(await handled(context, () => {}), { told: [], nacks: [] });
});

test("an ack that changed nothing is told", async (context) => {
  const { told } = await handled(context, () => {}, true);
  assert.equal(told.length, 1);
  assert.match(told[0]!, /^r1 ReceiptError: receipt r1 changed nothing/);
});

test("what became of a handler's own settlement is told, once", async (context) => {
  const unawaited = await handled(context, (delivery) => void delivery.ack().catch(() => {}), true);
  assert.equal(unawaited.told.length, 1);
  assert.match(unawaited.told[0]!, /^r1 ReceiptError: receipt r1 changed nothing/);
  const thrown = await handled(context, (delivery) => delivery.ack(), true);
  assert.deepEqual(thrown, unawaited);
  assert.deepEqual(await handled(context, (delivery) => delivery.ack()), { told: [], nacks: [] });
});

test("what a handler throws is told, and is the reason of the nack", async (context) => {
  const { told, nacks } = await handled(context, () => {
    throw new Error("no such customer");
  });
  assert.deepEqual(told, ["r1 Error: no such customer"]);
  assert.deepEqual(nacks.map((nack) => nack.reason), ["Error: no such customer"]);
});

test("a reason has at most 1,000 bytes, whole characters and no half of a surrogate pair", () => {
  assert.equal(reasonOf("short"), "short");
  assert.equal(reasonOf("x".repeat(5_000)), "x".repeat(1_000));
  assert.equal(reasonOf(`x${"🔥".repeat(500)}`), `x${"🔥".repeat(249)}`);
  assert.equal(reasonOf("a\ud83d"), "a\ufffd");
});
