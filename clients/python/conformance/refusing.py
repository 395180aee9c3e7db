"""Scenarios of what is refused, and of what takes too long."""

from __future__ import annotations

import time
from dataclasses import replace

from bbq_client import Client, Message, Profile
from bbq_client.proto import CreateTokenRequest, GetQueueRequest, Grant, Permission
from bbq_client.proto import Ordering
from world import World, ask, following, refused, same


async def refusals(world: World) -> None:
    client, queue = world.client, world.queue
    await world.create(max_messages=1)
    none = f"{queue}-none"
    await refused("publish to none", client.publish(none, "x"), "NOT_FOUND", "QUEUE_NOT_FOUND")
    await refused("subscribe to none", following(client.subscribe(none)), "NOT_FOUND", "QUEUE_NOT_FOUND")
    await refused("other settings", world.create(), "ALREADY_EXISTS", "QUEUE_EXISTS")
    await refused("a bad name", world.create("bad name"), "INVALID_ARGUMENT", "INVALID_FIELD")
    await world.create(f"{queue}-fifo", ordering=Ordering.FIFO)
    urgent = client.publish(f"{queue}-fifo", Message(b"x", priority=5))
    await refused("a priority", urgent, "FAILED_PRECONDITION", "PRIORITY_IN_FIFO")
    twice = client.publish(queue, Message(b"x", deduplication_id="x"))
    await refused("a deduplication id", twice, "FAILED_PRECONDITION", "DEDUPLICATION_OFF")
    await refused("two", client.publish_all(queue, ["1", "2"]), "RESOURCE_EXHAUSTED", "QUEUE_FULL")
    grant = Grant(permission=Permission.CONSUME, queues=queue)
    secret = (await client.admin.create_token(CreateTokenRequest(name=queue, grants=[grant]))).secret
    for token, code, reason in (
        ("wrong", "UNAUTHENTICATED", "BAD_TOKEN"),
        (None, "UNAUTHENTICATED", "NO_TOKEN"),
        (secret, "PERMISSION_DENIED", "PERMISSION_MISSING"),
    ):
        async with await Client.connect(replace(world.profile, token=token)) as other:
            await refused(f"the token for {reason}", other.publish(queue, "x"), code, reason)


async def errors(world: World) -> None:
    answer = await ask("errors")
    profile = replace(Profile.load(answer["profile"]), transport=world.profile.transport)
    same("whether there are cases", len(answer["cases"]) >= 12, True)
    async with await Client.connect(profile) as client:
        for case in answer["cases"]:
            publishing = client.with_deadline(20).publish(case["queue"], "x")
            error = await refused(case["queue"], publishing, case["code"], case["reason"])
            retry_ms = None if error.retry_after is None else round(error.retry_after * 1000)
            same(case["queue"], retry_ms, case["retry_ms"])


async def deadline(world: World) -> None:
    await world.create()
    await world.client.publish(world.queue, "before")
    await ask("pause")
    since = time.monotonic()
    publishing = world.client.with_deadline(1).publish(world.queue, "never confirmed")
    await refused("publish", publishing, "DEADLINE_EXCEEDED", None)
    took = time.monotonic() - since
    await ask("resume")
    same(f"whether {took} is about the deadline", 0.9 <= took <= 25, True)
    await world.client.admin.get_queue(GetQueueRequest(name=world.queue))
