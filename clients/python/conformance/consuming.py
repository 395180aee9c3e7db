"""Scenarios of streams: everything arrives once, and what was held comes back when a stream ends, whatever ended it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from bbq_client import Client, Delivery, ReceiptError, Unavailable
from world import AT_ONCE, BOUND, LONG_LEASE, World, ask, following, same, take


async def publish_consume(world: World) -> None:
    await world.create()
    async with world.client.publisher(world.queue) as publisher:
        confirmations = [await publisher.publish(str(number)) for number in range(world.messages)]
        for number, confirmation in enumerate(confirmations):
            same("a sequence", (await confirmation).sequence, number + 1)
    subscription = world.client.subscribe(world.queue, max_in_flight=500)
    attempts: Counter[int] = Counter()

    async def handler(delivery: Delivery) -> None:
        number = int(delivery.body)
        attempts[number] += 1
        same("an attempt", delivery.attempt, attempts[number])
        # What a handler raises gives the message back.
        same("whether it is to be given back", number % 100 == 0 and delivery.attempt == 1, False)

    handling = asyncio.create_task(subscription.handle(handler, concurrency=500))
    await world.until(ready=0, leased=0)
    same("the attempts", attempts, {number: 1 if number % 100 else 2 for number in range(world.messages)})
    await subscription.close()
    await handling
    await world.until(consumers=0)


async def cancel(world: World) -> None:
    await world.create()
    await world.publish_numbers(10)
    took_all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def consume() -> None:
        async with world.subscribe(max_in_flight=10) as first:
            for delivery in (await take(first, 10))[:3]:
                await delivery.ack()
            took_all.set_result(None)
            await following(first)

    consuming = asyncio.create_task(consume())
    await asyncio.wait([took_all, consuming], return_when=asyncio.FIRST_COMPLETED)
    consuming.cancel()
    await asyncio.wait([consuming])
    same("whether the task was cancelled", consuming.cancelled(), True)

    other = await Client.connect(world.profile)
    second = other.subscribe(world.queue, lease=LONG_LEASE)
    again = []
    for sequence in range(4, 11):
        delivery = await following(second)
        same("what comes back", (delivery.sequence, delivery.attempt), (sequence, 2))
        again.append(delivery)
    for delivery in again[:-1]:
        await delivery.ack()
    await given_back_at_once(world, other)
    await world.until(ready=0, leased=0)


async def given_back_at_once(world: World, other: Client) -> None:
    """Closing the client, which holds the tenth message as attempt 2, gives it back at once; a busy machine may need another try."""
    attempt = 2
    async with asyncio.timeout(BOUND):
        while True:
            since = time.monotonic()
            await other.close()
            async with world.subscribe() as third:
                delivery = await following(third)
                same("what comes back", (delivery.sequence, delivery.attempt), (10, attempt + 1))
                if time.monotonic() - since < AT_ONCE:
                    await delivery.ack()
                    return
            attempt += 2
            other = await Client.connect(world.profile)
            same("the attempt", (await following(other.subscribe(world.queue, lease=LONG_LEASE))).attempt, attempt)


async def outlived(world: World, how: str) -> None:
    await world.create()
    await world.publish_numbers(20)
    async with world.subscribe(max_in_flight=5) as subscription:
        held = await take(subscription, 5)
        seen = set()
        for delivery in held[:2]:
            await delivery.ack()
            seen.add(int(delivery.body))
        await ask(how)
        while len(seen) < 20:
            delivery = await following(subscription)
            same(f"whether {delivery.body!r} was acked before", int(delivery.body) in seen, False)
            try:
                await delivery.ack()
                seen.add(int(delivery.body))
            except ReceiptError as error:
                # It came before the end of its stream was known, and comes again.
                same("the ack", error.why, "SUPERSEDED")
        while True:
            try:
                await world.client.publish(world.queue, "after")
                break
            except Unavailable:
                await asyncio.sleep(0.1)
        delivery = await following(subscription)
        same("the body", delivery.body, b"after")
        await delivery.ack()
        await world.until(ready=0, leased=0)


async def restart(world: World) -> None:
    await outlived(world, "restart")


async def kill(world: World) -> None:
    await outlived(world, "kill")


async def idle(world: World) -> None:
    await world.create()
    subscriptions = [world.subscribe(max_in_flight=1) for _ in range(world.subscriptions)]
    await world.until(consumers=world.subscriptions)
    await world.publish_numbers(world.subscriptions)
    deliveries = [await following(subscription) for subscription in subscriptions]
    same("what came", {int(delivery.body) for delivery in deliveries}, set(range(world.subscriptions)))
    await asyncio.gather(*(delivery.ack() for delivery in deliveries))
    await world.until(ready=0, leased=0)
    await asyncio.gather(*(subscription.close() for subscription in subscriptions))
    await world.until(consumers=0)
