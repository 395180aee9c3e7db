// The connection: one HTTP/2 session that is made again when it is lost, and the way that every call is made.
//
// It decides deadlines and which calls are repeated after which failures.
//
// Always true: a call that would do its work twice is repeated only if the server certainly did nothing.

import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Http2Session, SecureClientSessionOptions } from "node:http2";
import { connect as connectSocket, isIP, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectSecurely } from "node:tls";

import { Backoff } from "./backoff.js";
import { BbqError, closed, cutByClosing, deadlineExceeded, unconnected, unreachable, unsendable } from "./error.js";
import { type Profile, pem } from "./profile.js";

/** Which failures allow a call to be made again: any that may pass, or only those of calls that certainly did nothing. */
export type Repeat = "anytime" | "unprocessed";

/** A silent connection is checked so often, and lost if the answer takes longer than the second figure. */
const PING = { pingIntervalMs: 3_000, pingTimeoutMs: 7_000, pingIdleConnection: true };
/** What one stream, and what all streams, may have unread. */
const STREAM_WINDOW = 4 * 1024 * 1024;
const CONNECTION_WINDOW = 32 * 1024 * 1024;
/** The largest answer that is read: the server's stay below 4 MiB unless a single message is larger. */
const RESPONSE_MAX = 64 * 1024 * 1024;
/** In megabytes, what Node.js may keep for one session before it refuses new streams; its default is 10. */
const SESSION_MEMORY_MAX = 256;
/** How long one attempt to connect may take. */
const CONNECT_TIMEOUT_MS = 5_000;
/** The longest that a timer waits. */
const WAIT_MAX_MS = 2 ** 31 - 1;
/** How often a call is tried. */
const TRIES = 6;

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

/** One server's connection. */
export class Connection {
  readonly url: string;
  /** For the generated clients. */
  readonly transport: Transport;
  readonly #sessions: Http2SessionManager;
  readonly #closing = new AbortController();

  constructor(profile: Profile) {
    this.url = profile.url;
    const { baseUrl, options } = target(profile);
    this.#sessions = new Http2SessionManager(baseUrl, PING, options);
    const authorize: Interceptor = (next) => (request) => {
      if (profile.token !== undefined) request.header.set("authorization", `Bearer ${profile.token}`);
      return next(request);
    };
    this.transport = createGrpcTransport({
      baseUrl,
      sessionManager: prepared(this.#sessions),
      interceptors: [authorize],
      readMaxBytes: RESPONSE_MAX,
      // Small messages cost more to unpack than to send, and large ones are what they are.
      acceptCompression: [],
    });
  }

  /** Connects, if there is no connection: one attempt, which all who wait for it share. Waits for it no longer than `withinMs`. */
  async connect(withinMs = WAIT_MAX_MS): Promise<void> {
    const late = new AbortController();
    const ends = AbortSignal.any([late.signal, this.#closing.signal]);
    const timer = sleep(withinMs, "late" as const, { signal: ends }).catch(() => "late" as const);
    try {
      const state = await Promise.race([this.#sessions.connect(), timer]);
      this.#check();
      if (state === "late") throw unconnected(this.url);
      if (state === "error") throw unreachable(this.url, this.#sessions.error());
    } finally {
      late.abort();
    }
  }

  /** Makes a call, again where `repeat` allows it, within `deadlineMs`. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    repeat: Repeat,
    deadlineMs: number,
  ): Promise<MessageShape<O>> {
    const end = performance.now() + deadlineMs;
    const backoff = new Backoff();
    for (let tries = 1; ; tries += 1) {
      try {
        this.#check();
        await this.connect(Math.max(end - performance.now(), 0));
        const left = Math.max(Math.ceil(end - performance.now()), 1);
        const answer = await this.transport.unary(method, this.#closing.signal, left, undefined, request);
        return answer.message;
      } catch (reason) {
        const error = this.#error(reason, method.input, request);
        const again = !error.final && (error.unprocessed || (repeat === "anytime" && error.code === "UNAVAILABLE"));
        const delay = backoff.delay(error);
        if (!again || tries === TRIES || performance.now() + delay >= end) throw error;
        await sleep(delay, undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }

  /** Opens a stream of answers, waiting for its beginning no longer than `deadlineMs`; it goes on until `signal`. */
  async open<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal: AbortSignal,
    deadlineMs: number,
  ): Promise<AsyncIterable<MessageShape<O>>> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(deadlineExceeded()), deadlineMs);
    const ends = AbortSignal.any([signal, this.#closing.signal, late.signal]);
    try {
      this.#check();
      await this.connect(deadlineMs);
      const answer = await this.transport.stream(method, ends, undefined, undefined, only(request));
      return this.#converted(answer.message);
    } catch (reason) {
      const error = this.#error(reason, method.input, request);
      throw late.signal.aborted && !error.unprocessed ? deadlineExceeded(reason) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Cancels every call and closes; the server gives back what subscriptions held. */
  close(): void {
    this.#closing.abort(cutByClosing());
    this.#sessions.abort();
  }

  /** The answers of a stream of the generated clients, until `signal` or the end of this connection. */
  async *answers<T>(start: (signal: AbortSignal) => AsyncIterable<T>, signal?: AbortSignal): AsyncIterable<T> {
    this.#check();
    await this.connect();
    const ends = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    yield* this.#converted(start(ends));
  }

  async *#converted<T>(answers: AsyncIterable<T>): AsyncIterable<T> {
    try {
      yield* answers;
    } catch (reason) {
      throw this.#error(reason);
    }
  }

  /** What a call failed with, as the caller sees it; given the request, whether it could be sent at all. */
  #error<I extends DescMessage>(reason: unknown, input?: I, request?: MessageInitShape<I>): BbqError {
    const error = BbqError.from(reason);
    if (this.#closing.signal.aborted) return error.unprocessed ? closed("client", reason) : cutByClosing(reason);
    // Connect reports what it cannot encode as it does a broken connection; looking is for calls that failed here, and so it is rare.
    const ours = error.code === "UNAVAILABLE" || error.code === "INTERNAL";
    return (ours && input !== undefined && request !== undefined && notSendable(input, request)) || error;
  }

  #check(): void {
    if (this.#closing.signal.aborted) throw closed("client");
  }
}

/** Why a request cannot be encoded; none if it can. */
function notSendable<I extends DescMessage>(input: I, request: MessageInitShape<I>): BbqError | undefined {
  try {
    toBinary(input, create(input, request));
    return undefined;
  } catch (error) {
    return unsendable(error);
  }
}

async function* only<T>(item: T): AsyncIterable<T> {
  yield item;
}

/** Prepares each new session before its first answer. */
function prepared(sessions: Http2SessionManager): SessionManager {
  const seen = new WeakSet<object>();
  return {
    authority: sessions.authority,
    async request(...args) {
      const stream = await sessions.request(...args);
      const session = stream.session;
      if (session !== undefined && !seen.has(session)) {
        seen.add(session);
        prepare(session);
      }
      return stream;
    },
    notifyResponseByteRead: (stream) => sessions.notifyResponseByteRead(stream),
  };
}

/** Gives it room for what streams have not read yet, so that a slow one does not stop the others, and makes its pings harmless. */
function prepare(session: Http2Session): void {
  session.setLocalWindowSize(CONNECTION_WINDOW);
  // connect-node also pings sessions that are gone, when their last stream ends after them: from a timer, where what Node.js
  // throws then would end the process.
  const ping = session.ping.bind(session) as (...args: unknown[]) => boolean;
  session.ping = (...args: unknown[]) => !session.destroyed && ping(...args);
}

/** What a profile means, checked. */
function target(profile: Profile): { baseUrl: string; options: SecureClientSessionOptions } {
  const wrong = (why: string) => new BbqError("PROFILE", `the profile for ${profile.url}: ${why}`);
  if (profile.transport === "http3") throw wrong("Node.js has no HTTP/3; use transport = \"auto\" or \"http2\"");
  if ((profile.clientCertificate === undefined) !== (profile.clientKey === undefined)) {
    throw wrong("`client_certificate` and `client_key` go together");
  }
  if (/[^\x21-\x7e]/.test(profile.token ?? "")) throw wrong("`token` has characters that no header may have");
  const options: SecureClientSessionOptions = {
    settings: { initialWindowSize: STREAM_WINDOW, enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MAX,
  };
  if (profile.url.startsWith("unix:")) {
    const path = profile.url.replace(/^unix:(\/\/)?/, "");
    return { baseUrl: "http://localhost", options: { ...options, createConnection: () => bounded(connectSocket(path)) } };
  }
  const url = URL.canParse(profile.url) ? new URL(profile.url) : undefined;
  if (url === undefined || !["https:", "http:"].includes(url.protocol)) {
    throw wrong("`url` must be https://host:port, http://127.0.0.1:port or unix:/path");
  }
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
  if (url.protocol === "http:" && !loopback) throw wrong("http would send everything in the clear; it is for loopback only");
  // A URL drops the port that is its scheme's default, and the server's own is neither.
  const port = url.port || (/:(80|443)\/?$/.exec(profile.url)?.[1] ?? "6789");
  const baseUrl = `${url.protocol}//${url.hostname}:${port}`;
  const place = { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(port) };
  if (url.protocol === "http:") return { baseUrl, options: { ...options, createConnection: () => bounded(connectSocket(place)) } };
  const secure = {
    ...place,
    ...(isIP(place.host) === 0 ? { servername: place.host } : {}),
    ...(profile.ca === undefined ? {} : { ca: pem(profile.ca) }),
    ...(profile.clientCertificate === undefined ? {} : { cert: pem(profile.clientCertificate) }),
    ...(profile.clientKey === undefined ? {} : { key: pem(profile.clientKey) }),
    ALPNProtocols: ["h2"],
  };
  return { baseUrl, options: { ...options, createConnection: () => bounded(connectSecurely(secure), "secureConnect") } };
}

/** A socket that fails if it takes too long to connect, and with it the attempt of all who wait. */
function bounded(socket: Socket, connected: "connect" | "secureConnect" = "connect"): Socket {
  const late = () => socket.destroy(new Error(`no answer within ${CONNECT_TIMEOUT_MS / 1_000} s`));
  const timer = setTimeout(late, CONNECT_TIMEOUT_MS);
  socket.once(connected, () => clearTimeout(timer));
  socket.once("close", () => clearTimeout(timer));
  return socket;
}
