"""Scenarios of what a message carries: it arrives as it was sent."""

from __future__ import annotations

from bbq_client import Message
from world import World, following, refused, same

BODY_MAX = 4 * 1024 * 1024


def body(length: int) -> bytes:
    return (bytes(k * 31 % 251 for k in range(251)) * (length // 251 + 1))[:length]


async def large_body(world: World) -> None:
    await world.create()
    client, queue = world.client, world.queue
    await client.publish(queue, body(BODY_MAX))
    async with world.subscribe(max_in_flight=1) as subscription:
        delivery = await following(subscription)
        same("whether the body is the same", delivery.body == body(BODY_MAX), True)
        await delivery.nack()
    (delivery,) = await client.receive(queue, wait=10)
    same("whether the body is the same again", delivery.body == body(BODY_MAX), True)
    await delivery.ack()
    too_large = client.publish(queue, body(BODY_MAX + 1))
    await refused("a body above the limit", too_large, "RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
    await client.publish(queue, "after")
    async with world.subscribe() as subscription:
        delivery = await following(subscription)
        same("the body", delivery.body, b"after")
        await delivery.ack()


async def binary_bodies(world: World) -> None:
    await world.create()
    bodies = [b"", bytes(range(256)), bytes(1000), b"\xff\xfe\xc3\x28", b"\r\n\r\n"]
    await world.client.publish_all(world.queue, bodies)
    async with world.subscribe() as subscription:
        for expected in bodies:
            delivery = await following(subscription)
            same("the body", delivery.body, expected)
            await delivery.ack()


async def unicode(world: World) -> None:
    await world.create()
    attributes = {
        "ключ": "значение",
        "emoji": "🔥🍖",
        "combining": "e\u0301",
        "empty": "",
        "rtl": "שלום",
        "nul": "a\0b",
        "漢字 and spaces": "値\n2",
    }
    await world.client.publish(world.queue, Message("🔥".encode(), attributes=attributes))
    async with world.subscribe() as subscription:
        delivery = await following(subscription)
        same("the body", delivery.body.decode(), "🔥")
        same("the attributes", delivery.attributes, attributes)
        await delivery.ack()
