// What makes a profile valid.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Client, loadProfile } from "../src/index.js";

function written(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "bbq-profile-"));
  process.once("exit", () => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "client.toml"), text);
  return join(directory, "client.toml");
}

test("files are relative to the profile's own, and what is in place stays so", () => {
  const path = written('url = "https://a"\nca = "ca.pem"\nclient_key = "-----BEGIN X"\ntoken = "t"\n');
  const profile = loadProfile(path);
  assert.deepEqual(profile, { url: "https://a", ca: join(path, "../ca.pem"), clientKey: "-----BEGIN X", token: "t" });
});

test("what is wrong is named", () => {
  assert.throws(() => loadProfile(written('url = "https://a"\nport = "1"\n')), /no key `port`/);
  assert.throws(() => loadProfile(written('token = "t"\n')), /`url` is missing/);
  assert.throws(() => loadProfile("/nowhere/client.toml"), /bbq serve/);
  assert.throws(() => Client.connectLazily("http://example.org:6789"), /in the clear/);
  assert.throws(() => Client.connectLazily({ url: "https://a", transport: "http3" }), /no HTTP\/3/);
  assert.throws(() => Client.connectLazily("ftp://a"), /must be https/);
});
