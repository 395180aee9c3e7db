// Profiles: where the server is and how to prove who is asking.
//
// It decides where a profile is looked for and what makes one valid. It never opens a connection.

import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse } from "smol-toml";

import { BbqError } from "./error.js";

/** Where `findProfile` looks when nothing else is given: what `bbq serve` writes into its data directory. */
export const PROFILE_PATH = "bbq-data/client.toml";

/** The environment variable that names a profile file. */
export const PROFILE_VARIABLE = "BBQ_PROFILE";

/** How to reach a server. Certificates and keys are PEM, in place or the name of a file. */
export interface Profile {
  /**
   * `https://host:port` for TLS, `http://127.0.0.1:port` without it on loopback, `unix:/path` on a Unix socket. The port is 6789
   * unless given.
   */
  url: string;
  /** The authority that signed the server's certificate; without it those that Node.js knows. */
  ca?: string;
  /** Sent with each call as `authorization: Bearer`. */
  token?: string;
  /** The client's own certificate chain, where the server asks for one; goes with `clientKey`. */
  clientCertificate?: string;
  /** The key of `clientCertificate`. */
  clientKey?: string;
  /** This client speaks HTTP/2, which `auto` falls back to; it refuses `http3`. */
  transport?: "auto" | "http2" | "http3";
}

const KEYS: Record<string, keyof Profile> = {
  url: "url",
  ca: "ca",
  token: "token",
  client_certificate: "clientCertificate",
  client_key: "clientKey",
  transport: "transport",
};

/** Reads a profile from a TOML file. Names of files in it are relative to it. */
export function loadProfile(path: string): Profile {
  const wrong = (why: string) => new BbqError("PROFILE", `${path}: ${why}`);
  let table: Record<string, unknown>;
  try {
    table = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw wrong(`${(error as Error).message.split("\n")[0]}; \`bbq serve\` writes a profile into its data directory`);
  }
  const profile: Record<string, string> = {};
  for (const [key, value] of Object.entries(table)) {
    const name = KEYS[key];
    if (name === undefined) throw wrong(`there is no key \`${key}\``);
    if (typeof value !== "string") throw wrong(`\`${key}\` must be a string`);
    const isFile = name !== "url" && name !== "token" && name !== "transport" && !value.includes("-----BEGIN");
    profile[name] = isFile ? resolve(dirname(path), value) : value;
  }
  if (profile["url"] === undefined) throw wrong("`url` is missing");
  return profile as unknown as Profile;
}

/** Loads the profile at `path`, else the one that `BBQ_PROFILE` names, else `./bbq-data/client.toml`. */
export function findProfile(path?: string): Profile {
  const chosen = path ?? (process.env[PROFILE_VARIABLE] || undefined);
  if (chosen !== undefined) return loadProfile(chosen);
  if (!existsSync(PROFILE_PATH)) {
    const message = `there is no profile at ./${PROFILE_PATH}; start a server here with \`bbq serve\`, or name a profile with ${PROFILE_VARIABLE}`;
    throw new BbqError("PROFILE", message);
  }
  return loadProfile(PROFILE_PATH);
}

/** The text of a certificate or a key, read from its file if it is in one. */
export function pem(value: string): string {
  if (value.includes("-----BEGIN")) return value;
  try {
    return readFileSync(value, "utf8");
  } catch (error) {
    throw new BbqError("PROFILE", `cannot read a certificate or key of the profile: ${(error as Error).message}`);
  }
}
