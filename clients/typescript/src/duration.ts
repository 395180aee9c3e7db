// Times on the wire, and milliseconds here.

import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";

import { unsendable } from "./error.js";

/** A duration for the wire. */
export function duration(ms: number): Duration {
  if (!Number.isFinite(ms)) throw unsendable(`${ms} is no time`);
  const seconds = Math.floor(ms / 1000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) });
}

/** A duration of the wire in milliseconds. */
export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
