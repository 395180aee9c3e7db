// When a subscription is opened again, and when it is not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client.js";
import { ANOTHER, OURS } from "./certificates.js";
import { serveSecurely } from "./server.js";

test("a certificate that is not accepted ends subscriptions and calls at the first try", { timeout: 60_000 }, async (context) => {
  const { url, become, connections } = await serveSecurely(context, OURS, {
    async *subscribe(_, { signal }) {
      yield { deliveries: [{ receipt: "r1", sequence: 1n, attempt: 1, message: { body: new Uint8Array() } }] };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  });
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
