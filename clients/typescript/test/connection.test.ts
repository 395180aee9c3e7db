// How long connecting takes, what it fails with, and what a connection leaves behind.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { Client } from "../src/client.js";
import type { BbqError } from "../src/error.js";
import { gate, serve } from "./server.js";

/** Where connections are taken and nothing is ever said on them; tells how many came. */
async function silent(context: TestContext): Promise<{ url: string; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}

test("an attempt to connect that nobody answers fails after 5 s, and nothing was sent", async (context) => {
  const { url } = await silent(context);
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let over = false;
  const failed = Client.connect(url).then(
    () => assert.fail("it connected"),
    (error: BbqError) => {
      over = true;
      return error;
    },
  );
  context.mock.timers.tick(4_999);
  for (let turns = 0; turns < 100; turns++) await turn();
  assert(!over, "it failed too early");
  context.mock.timers.tick(1);
  const { code, unprocessed, message } = await failed;
  assert.deepEqual([code, unprocessed], ["UNAVAILABLE", true]);
  assert.equal(message, `cannot reach ${url}: no answer within 5 s; is the server running there?`);
});

test("where nobody is, connecting, calls and streams fail at once, and nothing was sent", async () => {
  const nobody = "http://127.0.0.1:1";
  const refused = { code: "UNAVAILABLE", unprocessed: true, message: /^cannot reach .*; is the server running\? start it with `bbq serve`$/ };
  await assert.rejects(Client.connect(nobody), refused);
  const client = Client.connectLazily(nobody).withDeadline(1_000);
  await assert.rejects(client.publish("q", "x"), refused);
  await assert.rejects(client.admin.watchStats({ queues: [] } as never)[Symbol.asyncIterator]().next(), refused);
  await client.close();
});

test("a call that is not connected before its deadline says that nothing was sent", async (context) => {
  const { url } = await silent(context);
  const client = Client.connectLazily(url).withDeadline(50);
  const late = { code: "DEADLINE_EXCEEDED", unprocessed: true, message: /nothing was sent/ };
  await assert.rejects(client.publish("q", "x"), late);
  await assert.rejects(client.subscribe("q"), late);
  await client.close();
});

test("a call that nobody answers tries to connect again, and then says so", async (context) => {
  const { url, sockets } = await silent(context);
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const client = Client.connectLazily(url).withDeadline(3_600_000);
  const call = assert.rejects(client.publish("q", "x"), { code: "UNAVAILABLE", unprocessed: true, message: /no answer within 5 s/ });
  let over = false;
  void call.finally(() => (over = true));
  // Each second of theirs gives the sockets the time to come.
  while (!over) {
    context.mock.timers.tick(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await call;
  assert(sockets.length > 1, `${sockets.length} attempts`);
  await client.close();
});

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
  const cut = { code: "CANCELLED", unprocessed: false, message: /^the client was closed; whether the call had an effect/ };
  const call = assert.rejects(client.receive("q"), cut);
  await asked.opened;
  await client.close();
  await call;
  for (let turns = 0; turns < 100; turns++) {
    await turn();
    context.mock.timers.tick(1_000);
  }
});
