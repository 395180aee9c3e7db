// When a subscription is opened again, and when it is not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "@connectrpc/connect";

import { Client } from "../src/client.js";
import { ANOTHER, OURS } from "./certificates.js";
import { refusal, serve, serveSecurely } from "./server.js";

/** One message, and then nothing until the call ends. */
async function* one(_: unknown, { signal }: { signal: AbortSignal }) {
  yield { deliveries: [{ receipt: "r1", sequence: 1n, attempt: 1, message: { body: new Uint8Array() } }] };
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

test("a subscription whose first open meets a server that is going away goes on trying", { timeout: 60_000 }, async (context) => {
  const url = await serve(context, { subscribe: one }, 2);
  const client = await Client.connect(url);
  const subscription = await client.subscribe("q", { autoExtend: false });
  assert.equal((await subscription.next()).value?.receipt, "r1");
  await subscription.close();
  await client.close();
});

test("a subscription to a server that is not there, or refuses it, fails at once", { timeout: 60_000 }, async (context) => {
  const nobody = Client.connectLazily("http://127.0.0.1:1");
  await assert.rejects(nobody.subscribe("q"), { code: "UNAVAILABLE", unprocessed: true, message: /is the server running/ });
  const subscribe = async function* () {
    throw refusal(Code.NotFound, "QUEUE_NOT_FOUND");
  };
  const client = await Client.connect(await serve(context, { subscribe }));
  await assert.rejects(client.subscribe("q").then((subscription) => subscription.next()), { reason: "QUEUE_NOT_FOUND" });
  await client.close();
});

test("a certificate that is not accepted ends subscriptions and calls at the first try", { timeout: 60_000 }, async (context) => {
  const { url, become, connections } = await serveSecurely(context, OURS, { subscribe: one });
  const client = await Client.connect({ url, ca: OURS.cert });
  const subscription = await client.subscribe("q", { autoExtend: false });
  await subscription.next();
  assert.equal(connections(), 1);
  become(ANOTHER);
  const refused = { code: "UNAVAILABLE", unprocessed: true, message: /certificate; the profile's `ca` is not what signed/ };
  await assert.rejects(subscription.next(), refused);
  assert.equal(connections(), 2);
  await assert.rejects(client.publish("q", "x"), refused);
  assert.equal(connections(), 3);
  await client.close();
});
