"""Scenarios of leases and receipts."""

from __future__ import annotations

import asyncio
import time

from bbq_client import Delivery, ReceiptError
from bbq_client.proto import UpdateQueueRequest
from bbq_client.proto import QueueSettings
from bbq_client.proto import AckRequest, TransactRequest
from protobuf.wkt import Duration, FieldMask
from world import BOUND, World, following, refused, same, take


def why(failed: list[ReceiptError]) -> list[str]:
    return [failure.why for failure in failed]


async def lease_expiry(world: World) -> None:
    await world.create(lease_duration=Duration(seconds=1))
    client, queue = world.client, world.queue

    async def received() -> Delivery:
        (delivery,) = await client.receive(queue, wait=10)
        return delivery

    await client.publish(queue, "late")
    first = await received()
    since = time.monotonic()
    second = await received()
    same("what comes back", (second.sequence, second.attempt), (first.sequence, 2))
    same("whether the lease lasted", time.monotonic() - since >= 0.9, True)
    for settling in (client.nack, client.extend, client.ack):
        same(settling.__name__, why(await settling(queue, [first.receipt])), ["SUPERSEDED"])
    same("the second ack", await client.ack(queue, [second.receipt]), [])

    await client.publish(queue, "later")
    third = await received()
    paused, mask = QueueSettings(paused=True), FieldMask(paths=["paused"])
    await client.admin.update_queue(UpdateQueueRequest(name=queue, settings=paused, update_mask=mask))
    await world.until(ready=1, leased=0)
    same("the late extension", why(await client.extend(queue, [third.receipt])), ["EXPIRED"])
    same("the late ack", await client.ack(queue, [third.receipt]), [])
    await world.until(ready=0, leased=0)


async def lease_extension(world: World) -> None:
    await world.create(lease_duration=Duration(seconds=20))
    await world.client.publish(world.queue, "slow")
    async with world.client.subscribe(world.queue) as subscription:
        delivery = await following(subscription)
        try:
            await following(subscription, 35)
        except TimeoutError:
            pass
        else:
            raise AssertionError("it came again")
        await world.until(ready=0, leased=1)
        await delivery.ack()


async def stale_receipt(world: World) -> None:
    await world.create()
    client, queue = world.client, world.queue
    await world.create(f"{queue}-2")
    await world.publish_numbers(2)
    async with world.subscribe() as subscription:
        first, second = await take(subscription, 2)
        await first.ack()
        same("the second ack", await client.ack(queue, [first.receipt]), [])
        for settling in (client.nack, client.extend):
            same(settling.__name__, why(await settling(queue, [first.receipt])), ["GONE"])
        for place, receipt in ((queue, "not-a-receipt"), (f"{queue}-2", second.receipt)):
            same("an ack", why(await client.ack(place, [receipt])), ["UNKNOWN"])
    async with world.subscribe() as subscription:
        current = await following(subscription)
        try:
            await second.ack()
        except ReceiptError as error:
            same("the ack", (error.receipt, error.why), (second.receipt, "SUPERSEDED"))
        else:
            raise AssertionError("an ack of what somebody else has")
        transaction = TransactRequest(acks=[AckRequest(queue=queue, receipts=[second.receipt])])
        await refused("transact", client.queues.transact(transaction), "ABORTED", "STALE_RECEIPT")
        await current.ack()


async def handler(world: World) -> None:
    await world.create()
    await world.publish_numbers(1)
    times: list[float] = []
    came_again = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        times.append(time.monotonic())
        same("an attempt", delivery.attempt, len(times))
        if delivery.attempt == 1:
            await delivery.nack(delay=1)
        else:
            came_again.set()

    subscription = world.subscribe()
    handling = asyncio.create_task(subscription.handle(handle))
    await asyncio.wait_for(came_again.wait(), BOUND)
    same("whether the delay lasted", times[1] - times[0] >= 0.9, True)
    await world.until(ready=0, leased=0)
    await subscription.close()
    await handling
    same("how often it came", len(times), 2)
