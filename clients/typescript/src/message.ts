// Messages, as a producer hands them over.
//
// It decides nothing: limits are the server's to check.

import { create, toBinary } from "@bufbuild/protobuf";

import { duration } from "./duration.js";
import { unsendable } from "./error.js";
import { type Message as WireMessage, MessageSchema } from "./gen/bbq/v1/message_pb.js";

/** The most that the tags and lengths of a message and its body take. */
const FRAME_BYTES = 12;

/** A message: a body and what goes with it. */
export interface Message {
  /** The payload, opaque to the server; text goes as UTF-8. At most 4 MiB unless the server says otherwise. */
  body: string | Uint8Array;
  /** Small facts: at most 64 entries and 64 KiB in all. Keys that begin with `bbq-` are the server's. */
  attributes?: Record<string, string>;
  /** Messages of one key keep their order in a BY_KEY queue. At most 256 bytes. */
  orderingKey?: string;
  /** 0 to 9; higher goes first. */
  priority?: number;
  /** How long the message waits before it can be delivered. */
  delayMs?: number;
  /** How long the message may wait to be delivered. */
  timeToLiveMs?: number;
  /** The same id within the queue's deduplication window is stored once. At most 256 bytes. */
  deduplicationId?: string;
}

/** A whole message, or its body alone. */
export type Publishable = Message | string | Uint8Array;

/** A message for the wire. */
export function wireMessage(publishable: Publishable): WireMessage {
  const message: Message =
    typeof publishable === "string" || publishable instanceof Uint8Array ? { body: publishable } : publishable;
  const wire = create(MessageSchema, {
    body: typeof message.body === "string" ? new TextEncoder().encode(message.body) : message.body,
    attributes: message.attributes ?? {},
    orderingKey: message.orderingKey ?? "",
    priority: message.priority ?? 0,
    deduplicationId: message.deduplicationId ?? "",
  });
  if (message.delayMs !== undefined) wire.delay = duration(message.delayMs);
  if (message.timeToLiveMs !== undefined) wire.timeToLive = duration(message.timeToLiveMs);
  return wire;
}

/** What a message takes in a request, its frame included. Throws for what is no message of the protocol. */
export function encodedBytes(message: WireMessage): number {
  const { body, ...rest } = message;
  try {
    // Without the body, which would only be copied.
    return toBinary(MessageSchema, { ...rest, body: new Uint8Array() }).length + body.length + FRAME_BYTES;
  } catch (error) {
    throw unsendable(error);
  }
}
