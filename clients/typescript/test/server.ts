// A server whose answers the test writes, over HTTP/2 on loopback.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { once } from "node:events";
import { createSecureServer, createServer, type Http2SecureServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { QueueService, type PublishRequest, PublishResponseSchema } from "../src/gen/bbq/v1/queue_service_pb.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import type { Identity } from "./certificates.js";

type Calls = Partial<ServiceImpl<typeof QueueService>>;

/** Serves these calls without TLS until the test ends; returns where. The first `draining` calls meet a server that is going away. */
export async function serve(context: TestContext, calls: Calls, draining = 0): Promise<string> {
  const answer = adapter(calls);
  let left = draining;
  const server = createServer((request, response) => {
    left -= 1;
    // As the server says it: with nothing but the end.
    const end = { "content-type": "application/grpc", "grpc-status": "14", "grpc-message": "the server is going away" };
    if (left >= 0) request.stream.respond(end, { endStream: true });
    else answer(request, response);
  });
  const { port } = await listening(context, server);
  return `http://127.0.0.1:${port}`;
}

/** Serves them with TLS; returns where, what gives the server another certificate and ends all connections, and how many came. */
export async function serveSecurely(context: TestContext, identity: Identity, calls: Calls) {
  const server = createSecureServer(identity, adapter(calls));
  let count = 0;
  server.on("connection", () => (count += 1));
  const { port, cut } = await listening(context, server);
  const become = (other: Identity) => {
    server.setSecureContext(other);
    cut();
  };
  return { url: `https://127.0.0.1:${port}`, become, connections: () => count };
}

function adapter(calls: Calls) {
  return connectNodeAdapter({ routes: (router) => router.service(QueueService, calls) });
}

async function listening(context: TestContext, server: Http2Server | Http2SecureServer): Promise<{ port: number; cut: () => void }> {
  const sessions = new Set<ServerHttp2Session>();
  (server as Http2Server).on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const session of sessions) session.destroy();
  };
  context.after(() => {
    cut();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, cut };
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
