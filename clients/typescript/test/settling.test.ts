// What settling a delivery more than once comes to.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { Code, ConnectError } from "@connectrpc/connect";

import { Client } from "../src/client.js";
import { ReceiptFailureReason } from "../src/gen/bbq/v1/message_pb.js";
import type { AckRequest, NackRequest } from "../src/gen/bbq/v1/queue_service_pb.js";
import { serve } from "./server.js";

/** One delivery, whose settlements `answer` answers; tells those that it let through. */
async function delivered(context: TestContext, answer: (receipts: string[]) => ReceiptFailureReason | undefined) {
  const settled: string[] = [];
  const answers = (kind: string) => (request: AckRequest | NackRequest) => {
    const reason = answer(request.receipts);
    settled.push(kind);
    return { failures: reason === undefined ? [] : request.receipts.map((receipt) => ({ receipt, reason })) };
  };
  const url = await serve(context, {
    receive: () => ({ deliveries: [{ receipt: "r1", sequence: 1n, attempt: 1, message: { body: new Uint8Array() } }] }),
    ack: answers("ack"),
    nack: answers("nack"),
  });
  const client = await Client.connect(url);
  context.after(() => client.close());
  const [delivery] = await client.receive("q");
  return { delivery: delivery!, settled };
}

test("the first settlement of a delivery counts", async (context) => {
  const { delivery, settled } = await delivered(context, () => undefined);
  assert(!delivery.settled);
  await delivery.nack();
  await delivery.ack();
  await delivery.nack();
  assert(delivery.settled);
  assert.deepEqual(settled, ["nack"]);
});

test("a settlement without an answer may be tried again, but not turned round", async (context) => {
  let refusing = true;
  const { delivery, settled } = await delivered(context, () => {
    if (refusing) throw new ConnectError("not now", Code.Internal);
    return undefined;
  });
  const refused = { code: "INTERNAL", message: "not now" };
  await assert.rejects(delivery.nack({ delayMs: 7 }), refused);
  refusing = false;
  await assert.rejects(delivery.ack(), refused);
  await assert.rejects(delivery.nack({ delayMs: 8 }), refused);
  await delivery.nack({ delayMs: 7 });
  await delivery.nack({ delayMs: 7 });
  assert.deepEqual(settled, ["nack"]);
});

test("a settlement that the server says changed nothing is not tried again", async (context) => {
  const { delivery, settled } = await delivered(context, () => ReceiptFailureReason.GONE);
  await assert.rejects(delivery.ack(), { code: "RECEIPT", reason: "GONE" });
  await assert.rejects(delivery.ack(), { code: "RECEIPT", reason: "GONE" });
  assert.deepEqual(settled, ["ack"]);
});
