// The runner: one scenario, as clients/conformance/scenarios.md says.

import { parseArgs } from "node:util";

import { Client, findProfile } from "../src/index.js";
import { say } from "./harness.js";
import { SCENARIOS } from "./scenarios.js";

const option = { type: "string" as const, default: "" };
const { values } = parseArgs({
  options: { scenario: option, transport: option, queue: option, messages: option, subscriptions: option },
});
try {
  if (values.transport !== "h2") throw new Error(`this client does not speak ${values.transport}`);
  const scenario = SCENARIOS[values.scenario];
  if (scenario === undefined) throw new Error(`there is no scenario ${values.scenario}`);
  const client = await Client.connect({ ...findProfile(), transport: "http2" });
  const { queue, messages, subscriptions } = values;
  await scenario({ client, queue, messages: Number(messages), subscriptions: Number(subscriptions) });
  await client.close();
  say({ result: "passed" });
  process.stdin.destroy();
} catch (error) {
  console.error(error);
  say({ result: "failed", why: String(error).split("\n")[0] });
  process.exitCode = 1;
  process.stdin.destroy();
}
