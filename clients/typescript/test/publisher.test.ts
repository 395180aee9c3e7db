// Which messages share a call, whom an error reaches, and what a close waits for.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "@connectrpc/connect";

import { Client } from "../src/client.js";
import { encodedBytes, wireMessage } from "../src/message.js";
import type { Published } from "../src/publisher.js";
import { bodies, gate, published, refusal, serve } from "./server.js";

/** What became of each: its number, or the reason or code of its error. */
async function outcomes(confirmations: Promise<Published>[]): Promise<string[]> {
  const settled = await Promise.allSettled(confirmations);
  return settled.map((one) => (one.status === "fulfilled" ? String(one.value.sequence) : (one.reason.reason ?? one.reason.code)));
}

for (const [code, reason] of [
  [Code.InvalidArgument, "DELAY_IN_ORDER"],
  [Code.FailedPrecondition, "PRIORITY_IN_FIFO"],
  [Code.FailedPrecondition, "NOT_BY_KEY"],
  [Code.FailedPrecondition, "DEDUPLICATION_OFF"],
  [Code.ResourceExhausted, "LIMIT_EXCEEDED"],
  [Code.ResourceExhausted, "REQUEST_TOO_LARGE"],
  [Code.ResourceExhausted, "TOO_MANY_DELAYED_MESSAGES"],
] as const) {
  test(`one message that is refused with ${reason} fails alone, and the others keep their order`, async (context) => {
    const stored: string[] = [];
    const url = await serve(context, {
      publish: (request) => {
        if (bodies(request).includes("bad")) throw refusal(code, reason);
        stored.push(...bodies(request));
        return published(request, stored.length - request.messages.length + 1);
      },
    });
    const client = await Client.connect(url);
    const publisher = client.publisher("q");
    const confirmations = ["a", "b", "bad", "d", "e"].map((body) => publisher.publish(body));
    assert.deepEqual(await outcomes(confirmations), ["1", "2", reason, "3", "4"]);
    assert.deepEqual(stored, ["a", "b", "d", "e"]);
    await assert.rejects(publisher.flush(), { reason });
    await client.close();
  });
}

test("what is about all of a call is not tried message by message", async (context) => {
  let calls = 0;
  const url = await serve(context, {
    publish: () => {
      calls += 1;
      throw refusal(Code.ResourceExhausted, "QUEUE_FULL");
    },
  });
  const client = await Client.connect(url);
  const publisher = client.publisher("q");
  assert.deepEqual(await outcomes(["a", "b"].map((body) => publisher.publish(body))), ["QUEUE_FULL", "QUEUE_FULL"]);
  assert.equal(calls, 1);
  await client.close();
});

test("what is no message of the protocol fails by itself and is never sent", async (context) => {
  const calls: string[][] = [];
  const url = await serve(context, {
    publish: (request) => {
      calls.push(bodies(request));
      return published(request);
    },
  });
  const client = await Client.connect(url);
  const publisher = client.publisher("q");
  const confirmations = [
    publisher.publish("a"),
    publisher.publish({ body: "b", priority: 1.5 }),
    publisher.publish({ body: "c", delayMs: NaN }),
    publisher.publish("d"),
  ];
  assert.deepEqual(await outcomes(confirmations), ["1", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "2"]);
  assert.deepEqual(calls, [["a", "d"]]);
  const wrong = { code: "INVALID_ARGUMENT", unprocessed: true };
  await assert.rejects(client.publish("q", { body: "e", priority: -1 }), wrong);
  await assert.rejects(client.receive("q", { maxMessages: 0.5 }), wrong);
  await assert.rejects(client.admin.listQueues({ pageSize: -1 }), wrong);
  await client.close();
});

test("a call ends at its bound of bytes as they are on the wire", async (context) => {
  const message = { body: "body", attributes: { ключ: "значение", emoji: "🔥🍖" }, orderingKey: "漢字" };
  const bytes = encodedBytes(wireMessage(message));
  assert(bytes >= 4 + 8 + 16 + 5 + 8 + 6, `${bytes} is less than its texts take in UTF-8`);
  const counts: number[] = [];
  const url = await serve(context, {
    publish: (request) => {
      counts.push(request.messages.length);
      return published(request);
    },
  });
  const client = await Client.connect(url);
  const publisher = client.publisher("q", { callBytesMax: 3 * bytes });
  await Promise.all(Array.from({ length: 7 }, () => publisher.publish(message)));
  assert.deepEqual(counts, [3, 3, 1]);
  await client.close();
});

test("closing the client waits until what publishers took is confirmed, and nothing is taken after it", async (context) => {
  // However long it takes, the time that a close waits is not over.
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { opened, open } = gate();
  const arrived = gate();
  const stored: string[] = [];
  const url = await serve(context, {
    publish: async (request) => {
      arrived.open();
      await opened;
      stored.push(...bodies(request));
      return published(request);
    },
  });
  const client = await Client.connect(url);
  const publisher = client.withDeadline(600_000).publisher("q", { callMessagesMax: 2 });
  for (const body of ["a", "b", "c", "d", "e"]) void publisher.publish(body);
  const closing = client.close();
  await arrived.opened;
  await assert.rejects(publisher.publish("late"), { code: "CANCELLED", message: "the client was closed" });
  await assert.rejects(publisher.send("late"), { code: "CANCELLED" });
  open();
  await closing;
  assert.deepEqual(stored, ["a", "b", "c", "d", "e"]);
  const closed = { code: "CANCELLED", message: "the client was closed", unprocessed: true };
  await assert.rejects(client.publish("q", "late"), closed);
  await assert.rejects(client.publisher("q").publish("late"), closed);
  await assert.rejects(client.subscribe("q"), closed);
  await assert.rejects(client.admin.getQueue({ name: "q" }), closed);
  const reports = client.admin.watchStats({ name: "q" } as never)[Symbol.asyncIterator]();
  await assert.rejects(reports.next(), closed);
});

test("closing the client tells that a message which was taken is not confirmed", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const url = await serve(context, {
    publish: () => {
      throw refusal(Code.NotFound, "QUEUE_NOT_FOUND");
    },
  });
  const client = await Client.connect(url);
  const publisher = client.publisher("q");
  await assert.rejects(publisher.publish("told"), { reason: "QUEUE_NOT_FOUND" });
  void publisher.publish("a");
  await assert.rejects(client.close(), { reason: "QUEUE_NOT_FOUND" });
  const other = await Client.connect(url);
  await assert.rejects(other.publisher("q").publish("told"), { reason: "QUEUE_NOT_FOUND" });
  await other.close();
});

test("closing a publisher flushes it, and leaves the client open", async (context) => {
  const url = await serve(context, { publish: (request) => published(request) });
  const client = await Client.connect(url);
  const publisher = client.publisher("q");
  let confirmed = false;
  void publisher.publish("a").then(() => (confirmed = true));
  await publisher.close();
  assert(confirmed);
  await assert.rejects(publisher.publish("late"), { code: "CANCELLED", message: "the publisher was closed", unprocessed: true });
  assert.equal(await client.publish("q", "b"), 1n);
  await client.close();
});
