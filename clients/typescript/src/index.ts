/** The TypeScript client of BBQ, a durable message queue. `Client` is where to begin. */

export { Client, DEADLINE_MS, type ReceiveOptions } from "./client.js";
export { Delivery } from "./delivery.js";
export { BbqError, type ErrorCode, ReceiptError } from "./error.js";
export type { Message, Publishable } from "./message.js";
export { findProfile, loadProfile, type Profile, PROFILE_PATH, PROFILE_VARIABLE } from "./profile.js";
export { type Published, Publisher, type PublisherOptions } from "./publisher.js";
export type { Nack } from "./settler.js";
export { type Handler, type SubscribeOptions, Subscription } from "./subscription.js";
/** The code generated from the protobuf API. */
export * as admin from "./gen/bbq/v1/admin_service_pb.js";
export * as message from "./gen/bbq/v1/message_pb.js";
export * as queue from "./gen/bbq/v1/queue_pb.js";
export * as queueService from "./gen/bbq/v1/queue_service_pb.js";
