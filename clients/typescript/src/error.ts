// What can go wrong, in one class with a code, and two for what never was a call.
//
// It decides how a status, a lost connection or a refused receipt looks to the caller. It never retries.

import { Code, ConnectError } from "@connectrpc/connect";

import { durationMs } from "./duration.js";
import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { ReceiptFailureReason } from "./gen/bbq/v1/message_pb.js";

/** gRPC's codes by their names; `PROFILE` is a profile that cannot be used, `RECEIPT` a receipt that changed nothing. */
export type ErrorCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED"
  | "PROFILE"
  | "RECEIPT";

const NAMES: Record<Code, ErrorCode> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

/** Refusals that are about some messages of a publish, or about how large it is, under a code that may be about anything. */
const OF_ONE_MESSAGE = new Set([
  "PRIORITY_IN_FIFO",
  "NOT_BY_KEY",
  "DEDUPLICATION_OFF",
  "LIMIT_EXCEEDED",
  "REQUEST_TOO_LARGE",
  "TOO_MANY_DELAYED_MESSAGES",
  "TOO_MANY_DEDUPLICATION_IDS",
]);

/** What an error says besides its code and message. */
export interface ErrorFacts {
  reason?: string | undefined;
  retryAfterMs?: number | undefined;
  unprocessed?: boolean | undefined;
  final?: boolean | undefined;
  unreached?: boolean | undefined;
  cause?: unknown;
}

/** Any failure of a call, a connection, a profile or a receipt. */
export class BbqError extends Error {
  override readonly name: string = "BbqError";
  readonly code: ErrorCode;
  /** A word for programs, from `google.rpc.ErrorInfo`: `QUEUE_NOT_FOUND`, for example. */
  readonly reason: string | undefined;
  /** How long the server asks to wait before another try, from `google.rpc.RetryInfo`. */
  readonly retryAfterMs: number | undefined;
  /** Whether it is certain that the call had no effect, so that even a publish may be repeated. */
  readonly unprocessed: boolean;
  /**
   * Whether another try would come to the same, whatever the code says.
   *
   * @internal
   */
  readonly final: boolean;
  /**
   * Whether there was no connection.
   *
   * @internal
   */
  readonly unreached: boolean;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.reason = facts.reason;
    this.retryAfterMs = facts.retryAfterMs;
    this.unprocessed = facts.unprocessed ?? false;
    this.final = facts.final ?? false;
    this.unreached = facts.unreached ?? false;
  }

  /**
   * Whether the same call may succeed later. It says nothing about whether repeating it is safe: a publish that failed so may
   * have happened.
   */
  get retryable(): boolean {
    return ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"].includes(this.code);
  }

  /**
   * Whether what was refused is one message, or are some, rather than the whole call, so that the others may be sent without it.
   *
   * @internal
   */
  get ofOneMessage(): boolean {
    return this.code === "INVALID_ARGUMENT" || OF_ONE_MESSAGE.has(this.reason ?? "");
  }

  /** The error that a call of the generated clients ended with, as one of these. */
  static from(error: unknown): BbqError {
    if (error instanceof BbqError) return error;
    if (!(error instanceof ConnectError)) return new BbqError("INTERNAL", text(error), { cause: error });
    const message = error.rawMessage || NAMES[error.code];
    if (error.metadata.has("grpc-status")) {
      const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
      const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
      const retryAfterMs = delay && durationMs(delay);
      const unprocessed = error.code === Code.ResourceExhausted && retryAfterMs !== undefined;
      return new BbqError(NAMES[error.code], message, { reason, retryAfterMs, unprocessed, cause: error });
    }
    // No word of the server's: this was made on this side of the wire.
    if (error.code === Code.DeadlineExceeded) return deadlineExceeded(error);
    if (message.includes("REFUSED_STREAM")) {
      return new BbqError("UNAVAILABLE", "the server did not take the call", { unprocessed: true, cause: error });
    }
    // Node.js closes the streams of a connection that broke as if they had been cancelled; our own cancels read otherwise.
    const reset = error.code === Code.Canceled && message.startsWith("http/2 stream closed");
    const broken = error.code !== Code.Canceled && error.cause !== undefined;
    if (reset || broken || message.includes("missing status")) {
      const why = text(error.cause ?? message);
      return new BbqError("UNAVAILABLE", `the connection was lost: ${why}`, { final: ofCertificate(why), cause: error });
    }
    return new BbqError(NAMES[error.code], message, { cause: error });
  }
}

/** A receipt settled, or extended, nothing. */
export class ReceiptError extends BbqError {
  override readonly name = "ReceiptError";

  constructor(
    /** The receipt as it was sent. */
    readonly receipt: string,
    /** Why. */
    readonly why: ReceiptFailureReason,
  ) {
    super("RECEIPT", `receipt ${receipt} changed nothing: ${WHY[why]}`, { reason: ReceiptFailureReason[why] });
  }
}

const WHY: Record<ReceiptFailureReason, string> = {
  [ReceiptFailureReason.UNSPECIFIED]: "the server does not say why",
  [ReceiptFailureReason.SUPERSEDED]: "a later attempt at the message holds, or held, it",
  [ReceiptFailureReason.EXPIRED]: "its lease ended, and the message waits for its next delivery",
  [ReceiptFailureReason.GONE]: "the message has been settled, dead-lettered, purged or dropped",
  [ReceiptFailureReason.UNKNOWN]: "it is not a receipt of this queue",
};

/** No connection could be made; the server did nothing. */
export function unreachable(url: string, cause: unknown): BbqError {
  const why = text(cause);
  let hint = "";
  if (/ECONNREFUSED|ENOENT/.test(why)) hint = "; is the server running? start it with `bbq serve`";
  if (why.startsWith("no answer")) hint = "; is the server running there?";
  const final = ofCertificate(why);
  if (final) hint = "; the profile's `ca` is not what signed this server's certificate, or the host is not in it";
  return new BbqError("UNAVAILABLE", `cannot reach ${url}: ${why}${hint}`, { unprocessed: true, unreached: true, final, cause });
}

/** The caller's time was over before there was a connection. */
export function unconnected(url: string): BbqError {
  return new BbqError("DEADLINE_EXCEEDED", `no connection to ${url} before the deadline; nothing was sent`, { unprocessed: true });
}

/** What was to be sent is no message of the protocol: a priority of 1.5, for example. Nothing was sent. */
export function unsendable(cause: unknown): BbqError {
  return new BbqError("INVALID_ARGUMENT", `this cannot be sent: ${text(cause)}`, { unprocessed: true, final: true, cause });
}

/** A client, or a publisher, takes nothing any more; nothing was sent. */
export function closed(what: "client" | "publisher", cause?: unknown): BbqError {
  return new BbqError("CANCELLED", `the ${what} was closed`, { unprocessed: true, final: true, cause });
}

/** The client was closed while the call was under way. */
export function cutByClosing(cause?: unknown): BbqError {
  return new BbqError("CANCELLED", "the client was closed; whether the call had an effect is not known", { final: true, cause });
}

/** No answer in time. */
export function deadlineExceeded(cause?: unknown): BbqError {
  const message = "no answer before the deadline; whether the call had an effect is not known";
  return new BbqError("DEADLINE_EXCEEDED", message, { cause });
}

/** Whether the server's certificate, or the client's own, was not accepted: nor will it be the next time. */
function ofCertificate(why: string): boolean {
  return /certificate|altname/i.test(why);
}

/** The deepest cause, which is the one that names the trouble, in one line. */
function text(error: unknown): string {
  let deepest = error;
  while (deepest instanceof Error && deepest.cause instanceof Error) deepest = deepest.cause;
  const message = deepest instanceof Error ? deepest.message : String(deepest);
  return message.replace(/\s+/g, " ").trim();
}
