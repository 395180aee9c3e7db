// A server whose answers the test writes, over HTTP/2 without TLS on loopback.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { once } from "node:events";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { QueueService, type PublishRequest, PublishResponseSchema } from "../src/gen/bbq/v1/queue_service_pb.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";

/** Serves these calls until the test ends; returns where. */
export async function serve(context: TestContext, calls: Partial<ServiceImpl<typeof QueueService>>): Promise<string> {
  const server = createServer(connectNodeAdapter({ routes: (router) => router.service(QueueService, calls) }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What the server says when it refuses for this reason. */
export function refusal(code: Code, reason: string): ConnectError {
  const detail = { desc: ErrorInfoSchema, value: { reason, domain: "bbq.v1" } };
  return new ConnectError(`refused: ${reason}`, code, undefined, [detail]);
}

/** The bodies of a publish. */
export function bodies(request: PublishRequest): string[] {
  return request.messages.map((message) => new TextDecoder().decode(message.body));
}

/** The answer to a publish whose first message gets the number `first`. */
export function published(request: PublishRequest, first = 1): MessageInitShape<typeof PublishResponseSchema> {
  return create(PublishResponseSchema, { results: request.messages.map((_, index) => ({ sequence: BigInt(first + index) })) });
}

/** A promise, and what resolves it. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
