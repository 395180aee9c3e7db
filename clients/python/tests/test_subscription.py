"""Subscriptions: when they end, and how much they hold."""

from __future__ import annotations

import asyncio

from bbq_client import Closed, Delivery
from world import BOUND, IDLE, Case


class Closing(Case):
    async def test_closing_ends_though_others_go_on_settling(self) -> None:
        """The settlements of a queue share a batcher; one subscription's end does not wait for it to be idle."""
        busy = self.client.subscribe("q", auto_extend=False)

        async def handler(delivery: Delivery) -> None:
            self.server.deliver(delivery.receipt + "+")

        for at in range(20):
            self.server.deliver(str(at))
        handling = asyncio.create_task(busy.handle(handler, concurrency=20))
        await self.until(lambda: len(self.server.settled) > 100)
        before = len(self.server.settled)
        idle = self.client.subscribe("q", auto_extend=False, consumer_name=IDLE)
        await asyncio.wait_for(idle.close(), BOUND)
        await self.until(lambda: len(self.server.settled) > before + 100)
        await asyncio.wait_for(busy.close(), BOUND)
        await handling

    async def test_nothing_is_handed_out_after_closing_began(self) -> None:
        go_on = asyncio.Event()

        async def wait() -> None:
            await go_on.wait()

        self.server.on_settle = wait
        self.server.deliver("a", "b")
        subscription = self.client.subscribe("q", auto_extend=False)
        acking = asyncio.create_task((await anext(subscription)).ack())
        await asyncio.sleep(0)
        closing = asyncio.create_task(subscription.close())
        await asyncio.sleep(0)
        self.assertIsNone(await asyncio.wait_for(anext(subscription, None), BOUND))
        self.assertFalse(closing.done())
        go_on.set()
        await asyncio.gather(closing, acking)
        self.assertEqual(self.server.settled, [("ack", "a")])

    async def test_calls_after_closing_are_refused(self) -> None:
        await self.client.publish("q", "before")
        await self.client.close()
        for call in (self.client.publish("q", "x"), self.client.ack("q", ["a"]), anext(self.client.subscribe("q"))):
            with self.assertRaises(Closed):
                await call
        await self.client.close()


class Holding(Case):
    async def test_a_backlog_waits_where_it_comes_from(self) -> None:
        """Messages of an at-most-once queue need no credit; what nobody takes is not read."""
        read = 0
        subscription = self.client.subscribe("q", max_in_flight=10)
        streams = self.client._streams
        subscribe = streams.subscribe

        async def counting(request: object) -> object:
            nonlocal read
            async for response in subscribe(request):  # type: ignore[arg-type]
                read += 1
                yield response

        streams.subscribe = counting  # type: ignore[method-assign, assignment]
        for _ in range(100):
            self.server.deliver("", "", "", "", "")
        await self.until(lambda: len(subscription._ready) > 10)
        for _ in range(1000):
            await asyncio.sleep(0)
        self.assertEqual((read, len(subscription._ready)), (3, 15))
        for _ in range(500):
            await asyncio.wait_for(anext(subscription), BOUND)
        self.assertEqual(read, 100)
        await subscription.close()
