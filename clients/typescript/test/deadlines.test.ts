// Whose deadline a call has.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client.js";
import { serve } from "./server.js";

test("a settlement takes the deadline of the client that its message was delivered to", async (context) => {
  const timeouts: [string, number][] = [];
  const url = await serve(context, {
    receive: () => ({ deliveries: [{ receipt: "r1", sequence: 1n, attempt: 1, message: { body: new Uint8Array() } }] }),
    ack: (_, { timeoutMs }) => {
      timeouts.push(["ack", Math.ceil((timeoutMs() ?? 0) / 10_000) * 10]);
      return {};
    },
  });
  const client = await Client.connect(url);
  const hasty = client.withDeadline(10_000);
  const [first] = await hasty.receive("q");
  const [second] = await client.receive("q");
  await first!.ack();
  await second!.ack();
  assert.deepEqual(timeouts, [["ack", 10], ["ack", 30]]);
  await client.close();
});
