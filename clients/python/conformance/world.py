"""What every scenario has: the host, a client, a queue name, and waiting with a bound."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from typing import Any

from bbq_client import BbqError, Client, Delivery, Profile, Subscription
from bbq_client.proto import CreateQueueRequest, GetQueueRequest
from bbq_client.proto import QueueSettings

BOUND = 60
# What takes less did not wait for an idle timeout, or for another transport.
AT_ONCE = 5
# A lease that ends in no scenario.
LONG_LEASE = 600


async def ask(what: str) -> dict[str, Any]:
    """Asks the host for something, and returns its answer when it is done."""
    print(json.dumps({"ask": what}), flush=True)
    answer: dict[str, Any] = json.loads(await asyncio.to_thread(sys.stdin.readline))
    same("the answer", answer["done"], what)
    return answer


def same(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise AssertionError(f"{what} is {actual!r:.500}, not {expected!r:.500}")


async def refused(what: str, call: Awaitable[object], code: str, reason: str | None) -> BbqError:
    try:
        await call
    except BbqError as error:
        same(what, (error.code, error.reason), (code, reason))
        return error
    raise AssertionError(f"{what} is not refused")


async def following(subscription: Subscription, bound: float = BOUND) -> Delivery:
    return await asyncio.wait_for(anext(subscription), bound)


async def take(subscription: Subscription, count: int) -> list[Delivery]:
    return [await following(subscription) for _ in range(count)]


class World:
    def __init__(self, client: Client, profile: Profile, args: argparse.Namespace) -> None:
        self.client, self.profile = client, profile
        self.queue: str = args.queue
        self.messages: int = args.messages
        self.subscriptions: int = args.subscriptions

    async def create(self, queue: str | None = None, **settings: Any) -> None:
        request = CreateQueueRequest(name=queue or self.queue, settings=QueueSettings(**settings))
        await self.client.admin.create_queue(request)

    def subscribe(self, **options: Any) -> Subscription:
        return self.client.subscribe(self.queue, **{"lease": LONG_LEASE, **options})

    async def publish_numbers(self, count: int) -> None:
        await self.client.publish_all(self.queue, [str(number) for number in range(count)])

    async def until(self, **counts: int) -> None:
        """Waits until the queue's counts are so."""
        end = time.monotonic() + BOUND
        while True:
            shown = (await self.client.admin.get_queue(GetQueueRequest(name=self.queue))).queue
            assert shown is not None and shown.stats is not None
            seen = {name: getattr(shown.stats, name) for name in counts}
            if seen == counts:
                return
            if time.monotonic() > end:
                raise AssertionError(f"never {counts}, but {seen}")
            await asyncio.sleep(0.02)
