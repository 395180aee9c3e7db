// Whose deadline a call has.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client.js";
import { serve } from "./server.js";

test("a settlement takes the deadline of the client that its message was delivered to", async (context) => {
  const timeouts: number[] = [];
  const url = await serve(context, {
    receive: () => ({ deliveries: [{ receipt: "r1", sequence: 1n, attempt: 1, message: { body: new Uint8Array() } }] }),
    ack: (_, { timeoutMs }) => {
      timeouts.push(timeoutMs() ?? 0);
      return {};
    },
  });
  const client = await Client.connect(url);
  const patient = client.withDeadline(3_600_000);
  const [first] = await patient.receive("q");
  const [second] = await client.withDeadline(600_000).receive("q");
  const [third] = await client.receive("q");
  await first!.ack();
  await second!.ack();
  await third!.ack();
  // Between those of the others, however slow this machine is.
  assert.deepEqual(timeouts.map((ms) => [ms > 30_000, ms > 600_000]), [[true, true], [true, false], [false, false]]);
  await client.close();
});
