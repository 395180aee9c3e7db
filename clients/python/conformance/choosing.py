"""The scenario of the choice between two transports."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bbq_client import Client, Profile
from bbq_client.proto import ListLeasesRequest
from world import AT_ONCE, LONG_LEASE, World, ask, following, refused, same


async def auto(world: World) -> None:
    await world.create()
    answer = await ask("port")
    profile = replace(Profile.load(answer["profile"]), transport="auto")
    connecting = asyncio.wait_for(Client.connect(profile), 10)
    await refused("connecting to nobody", connecting, "UNAVAILABLE", None)
    await ask("open-port")
    for reached, expected in ((profile, "h2"), (replace(world.profile, transport="auto"), "h3")):
        async with await asyncio.wait_for(Client.connect(reached), AT_ONCE) as client:
            await client.publish(world.queue, "x")
            async with client.subscribe(world.queue, lease=LONG_LEASE) as subscription:
                delivery = await following(subscription)
                leases = (await client.admin.list_leases(ListLeasesRequest(queue=world.queue))).leases
                same("the transports", [lease.transport for lease in leases], [expected])
                await delivery.ack()
