// The scenarios of clients/conformance/scenarios.md, in its order and words.

import assert from "node:assert/strict";

import { admin, Client, type ErrorCode, findProfile, loadProfile, message as messages, queue as queues } from "../src/index.js";
import { ask, fails, take, type Task, until, untilCounts, within } from "./harness.js";

const { ReceiptFailureReason: Why } = messages;
const TEN_MINUTES = 600_000;
const utf8 = (text: string) => new TextEncoder().encode(text);
const seconds = (seconds: number) => ({ seconds: BigInt(seconds), nanos: 0 });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i));

async function publishConsume({ client, queue, messages }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  const publisher = client.publisher(queue);
  const confirmed = numbers(messages).map((body) => publisher.publish(body));
  await within(publisher.flush(), "all are confirmed");
  for (const [i, published] of confirmed.entries()) assert.equal((await published).sequence, BigInt(i + 1));
  const subscription = await client.subscribe(queue, { maxInFlight: 500 });
  const acked = new Set<number>();
  const settled: Promise<void>[] = [];
  while (acked.size < messages) {
    const [delivery] = await take(subscription, 1);
    const i = Number(delivery!.text());
    const again = i % 100 === 0;
    if (again && delivery!.attempt === 1) {
      settled.push(delivery!.nack());
      continue;
    }
    assert.equal(delivery!.attempt, again ? 2 : 1, `attempt at ${i}`);
    assert(!acked.has(i), `${i} came twice`);
    acked.add(i);
    settled.push(delivery!.ack());
  }
  await within(Promise.all(settled), "all settlements are answered");
  await untilCounts(client, queue, 0, 0);
  await subscription.close();
  await untilCounts(client, queue, 0, 0, 0);
}

async function cancel({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  await client.publishAll(queue, numbers(10));
  const options = { maxInFlight: 10, leaseMs: TEN_MINUTES };
  let count = 0;
  for await (const delivery of await client.subscribe(queue, options)) {
    count += 1;
    if (count <= 3) await delivery.ack();
    if (count === 10) break;
  }
  const other = await Client.connect({ ...findProfile(), transport: "http2" });
  const second = await other.subscribe(queue, options);
  const rest = await take(second, 7);
  assert.deepEqual(rest.map(({ sequence, attempt }) => [sequence, attempt]), [4, 5, 6, 7, 8, 9, 10].map((n) => [BigInt(n), 2]));
  await Promise.all(rest.slice(0, 6).map((delivery) => delivery.ack()));
  await other.close();
  const third = await client.subscribe(queue, options);
  const [last] = await take(third, 1);
  assert.deepEqual([last!.sequence, last!.attempt], [10n, 3]);
  await last!.ack();
  await untilCounts(client, queue, 0, 0);
  await third.close();
}

async function comesBack({ client, queue }: Task, how: "restart" | "kill"): Promise<void> {
  await client.admin.createQueue({ name: queue });
  await client.publishAll(queue, numbers(20));
  const subscription = await client.subscribe(queue, { maxInFlight: 5, leaseMs: TEN_MINUTES });
  const held = await take(subscription, 5);
  await Promise.all(held.slice(0, 2).map((delivery) => delivery.ack()));
  await ask(how);
  const acked = new Set(held.slice(0, 2).map((delivery) => delivery.sequence));
  while (acked.size < 20) {
    const [delivery] = await take(subscription, 1);
    assert(!acked.has(delivery!.sequence), `${delivery!.sequence} was acked and came again`);
    await delivery!.ack();
    acked.add(delivery!.sequence);
  }
  await until("the client publishes again", async () => {
    const error = await client.publish(queue, "again").then(() => undefined, (error: unknown) => error as { code: string });
    assert(error === undefined || error.code === "UNAVAILABLE", String(error));
    return error === undefined;
  });
  const [last] = await take(subscription, 1);
  assert.equal(last!.text(), "again");
  await last!.ack();
  await untilCounts(client, queue, 0, 0);
  await subscription.close();
}

async function leaseExpiry({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue, settings: { leaseDuration: seconds(1) } });
  await client.publish(queue, "one");
  const [first] = await client.receive(queue, { waitMs: 10_000 });
  const since = performance.now();
  const [second] = await client.receive(queue, { waitMs: 10_000 });
  assert(performance.now() - since >= 900, "it came back before its lease ended");
  assert.deepEqual([second!.sequence, second!.attempt], [first!.sequence, 2]);
  await fails(first!.nack(), "RECEIPT", "SUPERSEDED");
  await fails(first!.extend(1_000), "RECEIPT", "SUPERSEDED");
  const [late] = await client.ack(queue, [first!.receipt]);
  assert.equal(late?.reason, Why.SUPERSEDED);
  await second!.ack();

  await client.publish(queue, "two");
  const [third] = await client.receive(queue, { waitMs: 10_000 });
  await client.admin.updateQueue({ name: queue, settings: { paused: true }, updateMask: { paths: ["paused"] } });
  await untilCounts(client, queue, 1, 0);
  await fails(third!.extend(1_000), "RECEIPT", "EXPIRED");
  await third!.ack();
  await untilCounts(client, queue, 0, 0);
}

async function leaseExtension({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue, settings: { leaseDuration: seconds(20) } });
  await client.publish(queue, "one");
  const subscription = await client.subscribe(queue);
  const [held] = await take(subscription, 1);
  const next = subscription.next();
  const early = await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 35_000, "held"))]);
  assert.equal(early, "held", "it was delivered again");
  await untilCounts(client, queue, 0, 1);
  await held!.ack();
  await subscription.close();
}

async function staleReceipt({ client, queue }: Task): Promise<void> {
  const other = `${queue}-2`;
  await client.admin.createQueue({ name: queue });
  await client.admin.createQueue({ name: other });
  await client.publishAll(queue, ["one", "two"]);
  const options = { leaseMs: TEN_MINUTES };
  const subscription = await client.subscribe(queue, options);
  const [first, second] = await take(subscription, 2);
  const why = async (failed: Promise<messages.ReceiptFailure[]>) => (await failed).map((failure) => failure.reason);
  await first!.ack();
  assert.deepEqual(await why(client.ack(queue, [first!.receipt])), []);
  assert.deepEqual(await why(client.nack(queue, [first!.receipt])), [Why.GONE]);
  assert.deepEqual(await why(client.extend(queue, [first!.receipt])), [Why.GONE]);
  assert.deepEqual(await why(client.ack(queue, ["not-a-receipt"])), [Why.UNKNOWN]);
  assert.deepEqual(await why(client.ack(other, [second!.receipt])), [Why.UNKNOWN]);
  await subscription.close();
  const again = await client.subscribe(queue, options);
  const [latest] = await take(again, 1);
  await fails(second!.ack(), "RECEIPT", "SUPERSEDED");
  await fails(client.transact({ acks: [{ queue, receipts: [second!.receipt] }] }), "ABORTED", "STALE_RECEIPT");
  await latest!.ack();
  await again.close();
}

async function handler({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  await client.publish(queue, "one");
  const subscription = await client.subscribe(queue);
  const times: number[] = [];
  const running = subscription.run(async (delivery) => {
    times.push(performance.now());
    assert.equal(delivery.attempt, times.length);
    if (delivery.attempt === 1) await delivery.nack({ delayMs: 1_000 });
  });
  await until("it comes again", async () => times.length === 2);
  assert(times[1]! - times[0]! >= 900, "it came back before its delay was over");
  await untilCounts(client, queue, 0, 0);
  await subscription.close();
  await running;
  assert.equal(times.length, 2);
}

async function refusals({ client, queue }: Task): Promise<void> {
  const { admin: control } = client;
  await control.createQueue({ name: queue });
  await fails(client.publish(`${queue}-none`, "x"), "NOT_FOUND", "QUEUE_NOT_FOUND");
  const nowhere = client.subscribe(`${queue}-none`).then((subscription) => subscription.next());
  await fails(nowhere, "NOT_FOUND", "QUEUE_NOT_FOUND");
  await fails(control.createQueue({ name: queue, settings: { maxAttempts: 7 } }), "ALREADY_EXISTS", "QUEUE_EXISTS");
  await fails(control.createQueue({ name: "bad name" }), "INVALID_ARGUMENT", "INVALID_FIELD");
  await control.createQueue({ name: `${queue}-fifo`, settings: { ordering: queues.Ordering.FIFO } });
  await fails(client.publish(`${queue}-fifo`, { body: "x", priority: 5 }), "FAILED_PRECONDITION", "PRIORITY_IN_FIFO");
  await fails(client.publish(queue, { body: "x", deduplicationId: "x" }), "FAILED_PRECONDITION", "DEDUPLICATION_OFF");
  await control.createQueue({ name: `${queue}-small`, settings: { maxMessages: 1n } });
  await fails(client.publishAll(`${queue}-small`, ["x", "y"]), "RESOURCE_EXHAUSTED", "QUEUE_FULL");
  const { token: _, ...anonymous } = findProfile();
  const as = async (token: string | undefined, code: ErrorCode, reason: string) => {
    const other = await Client.connect(token === undefined ? anonymous : { ...anonymous, token });
    await fails(other.publish(queue, "x"), code, reason);
    await other.close();
  };
  await as("wrong", "UNAUTHENTICATED", "BAD_TOKEN");
  await as(undefined, "UNAUTHENTICATED", "NO_TOKEN");
  const grants = [{ permission: admin.Permission.CONSUME, queues: queue }];
  const { secret } = await control.createToken({ name: `${queue}-token`, grants });
  await as(secret, "PERMISSION_DENIED", "PERMISSION_MISSING");
}

async function errors(): Promise<void> {
  const answer = await ask("errors");
  const cases = answer["cases"] as { queue: string; code: ErrorCode; reason: string | null; retry_ms: number | null }[];
  const client = (await Client.connect(loadProfile(answer["profile"] as string))).withDeadline(20_000);
  for (const { queue, code, reason, retry_ms } of cases) {
    const error = await fails(client.publish(queue, "x"), code, reason);
    assert.equal(error.retryAfterMs ?? null, retry_ms, queue);
  }
  assert.equal(new Set(cases.map(({ code }) => code)).size, 12);
  await client.close();
}

async function largeBody({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  const body = Uint8Array.from({ length: 4_194_304 }, (_, k) => (k * 31) % 251);
  await client.publish(queue, body);
  const subscription = await client.subscribe(queue);
  const [delivery] = await take(subscription, 1);
  assert(Buffer.from(body).equals(delivery!.body), "the body has changed");
  await delivery!.nack();
  await subscription.close();
  const [again] = await client.receive(queue, { waitMs: 30_000 });
  assert(Buffer.from(body).equals(again!.body), "the body has changed");
  await again!.ack();
  await fails(client.publish(queue, new Uint8Array(body.length + 1)), "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED");
  await client.publish(queue, "after");
  const [after] = await client.receive(queue, { waitMs: 30_000 });
  assert.equal(after!.text(), "after");
  await after!.ack();
}

async function binaryBodies({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  const bodies = [
    new Uint8Array(),
    Uint8Array.from({ length: 256 }, (_, k) => k),
    new Uint8Array(1_000),
    Uint8Array.of(0xff, 0xfe, 0xc3, 0x28),
    Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a),
  ];
  await client.publishAll(queue, bodies);
  const subscription = await client.subscribe(queue);
  const deliveries = await take(subscription, bodies.length);
  assert.deepEqual(deliveries.map((delivery) => [...delivery.body]), bodies.map((body) => [...body]));
  await Promise.all(deliveries.map((delivery) => delivery.ack()));
  await subscription.close();
}

async function unicode({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  const attributes = {
    ключ: "значение",
    emoji: "🔥🍖",
    combining: "e\u0301",
    empty: "",
    rtl: "שלום",
    nul: "a\u0000b",
    "漢字 and spaces": "値\n2",
  };
  await client.publish(queue, { body: "🔥", attributes });
  const subscription = await client.subscribe(queue);
  const [delivery] = await take(subscription, 1);
  assert.deepEqual([...delivery!.body], [...utf8("🔥")]);
  assert.deepEqual({ ...delivery!.attributes }, attributes);
  await delivery!.ack();
  await subscription.close();
}

async function deadline({ client, queue }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  await client.publish(queue, "well");
  await ask("pause");
  const since = performance.now();
  await fails(client.withDeadline(1_000).publish(queue, "late"), "DEADLINE_EXCEEDED");
  const took = performance.now() - since;
  assert(took >= 900 && took <= 25_000, `it took ${took} ms`);
  await ask("resume");
  await client.admin.getQueue({ name: queue });
}

async function idle({ client, queue, subscriptions: count }: Task): Promise<void> {
  await client.admin.createQueue({ name: queue });
  const subscriptions = await Promise.all(numbers(count).map(() => client.subscribe(queue, { maxInFlight: 1 })));
  await untilCounts(client, queue, 0, 0, count);
  await client.publishAll(queue, numbers(count));
  const deliveries = (await Promise.all(subscriptions.map((subscription) => take(subscription, 1)))).flat();
  assert.equal(new Set(deliveries.map((delivery) => delivery.sequence)).size, count);
  await Promise.all(deliveries.map((delivery) => delivery.ack()));
  await untilCounts(client, queue, 0, 0);
  await Promise.all(subscriptions.map((subscription) => subscription.close()));
  await untilCounts(client, queue, 0, 0, 0);
}

/** Every scenario by its name. */
export const SCENARIOS: Record<string, (task: Task) => Promise<void>> = {
  "publish-consume": publishConsume,
  cancel,
  restart: (task) => comesBack(task, "restart"),
  kill: (task) => comesBack(task, "kill"),
  "lease-expiry": leaseExpiry,
  "lease-extension": leaseExtension,
  "stale-receipt": staleReceipt,
  handler,
  refusals,
  errors,
  "large-body": largeBody,
  "binary-bodies": binaryBodies,
  unicode,
  deadline,
  idle,
};
