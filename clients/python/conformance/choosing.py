"""The scenario of the choice between two transports."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from bbq_client import Client, Profile
from bbq_client.proto import ListLeasesRequest
from world import AT_ONCE, BOUND, LONG_LEASE, World, ask, following, refused, same


async def auto(world: World) -> None:
    await world.create()
    answer = await ask("port")
    profile = replace(Profile.load(answer["profile"]), transport="auto")
    connecting = asyncio.wait_for(Client.connect(profile), BOUND)
    await refused("connecting to nobody", connecting, "UNAVAILABLE", None)
    await ask("open-port")
    async with asyncio.timeout(BOUND):
        # A busy machine may need another try, but what waits for UDP first takes longer each time.
        took = float(BOUND)
        while took >= AT_ONCE:
            transport, took = await spoken(world, profile)
            same("where UDP is blocked", transport, "h2")
    own = replace(world.profile, transport="auto")
    async with asyncio.timeout(BOUND):
        # HTTP/3 has a head start only, which a busy machine may use up.
        while (await spoken(world, own))[0] != "h3":
            pass


async def spoken(world: World, profile: Profile) -> tuple[str, float]:
    """Publishes and takes a message over a connection of its own; returns what that speaks and how long connecting took."""
    since = time.monotonic()
    async with await Client.connect(profile) as client:
        took = time.monotonic() - since
        await client.publish(world.queue, "x")
        async with client.subscribe(world.queue, lease=LONG_LEASE) as subscription:
            delivery = await following(subscription)
            (lease,) = (await client.admin.list_leases(ListLeasesRequest(queue=world.queue))).leases
            await delivery.ack()
            return lease.transport, took
