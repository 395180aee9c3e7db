// What a connection leaves behind.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { Client } from "../src/client.js";
import { gate, serve } from "./server.js";

test("a connection that was closed with a call under way is not pinged", async (context) => {
  // From here on, time passes for the timers of the client alone, and an error of theirs is thrown by `tick`.
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const asked = gate();
  const url = await serve(context, {
    receive: async (_, { signal }) => {
      asked.open();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return { deliveries: [] };
    },
  });
  const client = await Client.connect(url);
  const call = assert.rejects(client.receive("q"), /closed/);
  await asked.opened;
  await client.close();
  await call;
  for (let turns = 0; turns < 100; turns++) {
    await turn();
    context.mock.timers.tick(1_000);
  }
});
