"""The runner of clients/conformance/scenarios.md for this client; the page says what each scenario does and expects."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from dataclasses import replace

import bodies
import choosing
import consuming
import leases
import refusing
from bbq_client import Client, Profile
from world import World

SCENARIOS = [
    consuming.publish_consume,
    consuming.cancel,
    consuming.restart,
    consuming.kill,
    consuming.idle,
    leases.lease_expiry,
    leases.lease_extension,
    leases.stale_receipt,
    leases.handler,
    refusing.refusals,
    refusing.errors,
    refusing.deadline,
    bodies.large_body,
    bodies.binary_bodies,
    bodies.unicode,
    choosing.auto,
]


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--scenario", "--transport", "--queue"):
        parser.add_argument(name, required=True)
    for name in ("--messages", "--subscriptions"):
        parser.add_argument(name, required=True, type=int)
    args = parser.parse_args()
    scenarios = {scenario.__name__.replace("_", "-"): scenario for scenario in SCENARIOS}
    profile = replace(Profile.find(), transport={"h3": "http3", "h2": "http2"}[args.transport])
    async with await Client.connect(profile) as client:
        await scenarios[args.scenario](World(client, profile, args))


try:
    asyncio.run(main())
    print(json.dumps({"result": "passed"}), flush=True)
    # The scenario is over. The threads of pyqwest have been seen to abort a process whose interpreter was ending.
    os._exit(0)
except Exception as error:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    print(json.dumps({"result": "failed", "why": why}), flush=True)
    raise
