"""Settlements: the first one of a delivery counts, and what fails is told."""

from __future__ import annotations

import asyncio

from bbq_client import Delivery, InvalidArgument, DeadlineExceeded
from bbq_client._leases import Leases
from bbq_client.proto import Delivery as Wire
from bbq_client.proto import Message, SubscribeResponse
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from world import BOUND, Case, refusal


class Settling(Case):
    async def test_a_handler_that_gives_a_message_back_and_returns_does_not_ack_it(self) -> None:
        self.server.deliver("a", "b", "c")

        async def handler(delivery: Delivery) -> None:
            if delivery.receipt == "a":
                await delivery.nack(delay=60)
            elif delivery.receipt == "b":
                await delivery.ack()
                raise RuntimeError("after the ack")

        subscription = self.client.subscribe("q", auto_extend=False)
        handling = asyncio.create_task(subscription.handle(handler))
        await self.until(lambda: ("ack", "c") in self.server.settled)
        await subscription.close()
        await handling
        self.assertEqual(self.server.settled, [("nack", "a"), ("ack", "b"), ("ack", "c")])

    async def test_a_delivery_has_all_of_its_message(self) -> None:
        message = Message(body=b"x", attributes={"a": "b"}, ordering_key="k", priority=3, deduplication_id="d")
        self.server.outgoing.put_nowait(SubscribeResponse(deliveries=[Wire(receipt="a", message=message)]))
        async with self.client.subscribe("q", auto_extend=False) as subscription:
            got = await asyncio.wait_for(anext(subscription), BOUND)
        self.assertEqual(
            (got.body, got.attributes, got.ordering_key, got.priority, got.deduplication_id),
            (b"x", {"a": "b"}, "k", 3, "d"),
        )

    async def test_the_first_settlement_of_a_delivery_counts(self) -> None:
        self.server.deliver("a")
        async with self.client.subscribe("q") as subscription:
            delivery = await anext(subscription)
            self.assertFalse(delivery.settled)
            await delivery.nack()
            await delivery.ack()
            await delivery.nack(delay=1)
            self.assertTrue(delivery.settled)
        self.assertEqual(self.server.settled, [("nack", "a")])

    async def test_a_settlement_without_an_answer_may_be_tried_again_but_not_turned_round(self) -> None:
        async def refuse() -> None:
            raise ConnectError(Code.INTERNAL, "not now")

        self.server.on_settle = refuse
        self.server.deliver("a")
        async with self.client.subscribe("q", auto_extend=False) as subscription:
            delivery = await anext(subscription)
            for settling in (delivery.nack, delivery.ack):
                with self.assertRaisesRegex(Exception, "not now"):
                    await settling()
            self.server.on_settle = None
            with self.assertRaisesRegex(Exception, "not now"):
                await delivery.ack()
            await delivery.nack()
        self.assertEqual(self.server.settled, [("nack", "a")])

    async def test_what_fails_in_a_handler_is_told(self) -> None:
        async def refuse() -> None:
            raise refusal(Code.INVALID_ARGUMENT, "INVALID_FIELD")

        self.server.on_settle = refuse
        self.server.deliver("a", "b")
        told: list[tuple[str, str]] = []

        async def handler(delivery: Delivery) -> None:
            if delivery.receipt == "b":
                raise RuntimeError("b")

        def on_error(delivery: Delivery, error: Exception) -> None:
            told.append((delivery.receipt, type(error).__name__))

        subscription = self.client.subscribe("q", auto_extend=False)
        handling = asyncio.create_task(subscription.handle(handler, on_error=on_error))
        await self.until(lambda: len(told) == 3)
        self.server.on_settle = None
        await subscription.close()
        await handling
        refused = InvalidArgument.__name__
        self.assertEqual(told, [("a", refused), ("b", "RuntimeError"), ("b", refused)])

    async def test_without_anyone_to_tell_it_is_logged(self) -> None:
        self.server.deliver("a")

        async def handler(delivery: Delivery) -> None:
            raise RuntimeError("it broke")

        with self.assertLogs("bbq_client", "WARNING") as logs:
            subscription = self.client.subscribe("q", auto_extend=False)
            handling = asyncio.create_task(subscription.handle(handler))
            await self.until(lambda: bool(self.server.settled))
            await subscription.close()
            await handling
        self.assertIn("it broke", logs.output[0])

    async def test_a_reason_fits_the_server_and_is_whole(self) -> None:
        from bbq_client.subscription import _reason

        reason = _reason(RuntimeError("ж" * 2000))
        self.assertTrue(900 < len(reason.encode()) <= 1000)
        self.assertTrue(reason.endswith("ж"))

        class Broken(Exception):
            def __repr__(self) -> str:
                return "\ud800"

        self.assertEqual(_reason(Broken()), "?")

    async def test_a_short_deadline_is_not_that_of_others(self) -> None:
        go_on = asyncio.Event()

        async def wait() -> None:
            await go_on.wait()

        self.server.on_settle = wait
        self.server.deliver("a", "b")
        hasty = self.client.with_deadline(0.05)
        async with hasty.subscribe("q", auto_extend=False) as subscription:
            first, second = await anext(subscription), await anext(subscription)
            with self.assertRaises(DeadlineExceeded):
                await first.ack()
            # The call goes on, with the deadline of settlements, which is nobody's own.
            patient = asyncio.ensure_future(self.client._settle("q", second.receipt, None))
            go_on.set()
            await asyncio.wait_for(patient, BOUND)
        self.assertEqual(self.server.settled, [("ack", "a"), ("ack", "b")])


class Keeping(Case):
    async def test_leases_are_kept_though_what_was_due_was_settled(self) -> None:
        leases = Leases(self.client, "q", 1.0)
        keeping = asyncio.create_task(leases.keep())
        leases.hold("a", None)
        leases.release("a")
        await asyncio.sleep(0)
        leases.hold("b", None)
        await asyncio.sleep(0)
        # It sleeps until `b` is due, which is settled before it wakes.
        leases.release("b")
        leases.hold("c", None)
        due, half = leases._due["c"]
        leases._due["c"] = (due + 0.3, half)
        await self.until(lambda: keeping.done() or ("extend", "c") in self.server.settled)
        self.assertFalse(keeping.done())
        keeping.cancel()
        await asyncio.wait([keeping])

    async def test_a_keeper_that_fails_fails_its_subscription(self) -> None:
        subscription = self.client.subscribe("q")

        async def broken(receipts: list[str]) -> None:
            raise RuntimeError("a mistake of ours")

        subscription._leases._extend = broken  # type: ignore[method-assign]
        subscription._leases._due["a"] = (0.0, 1.0)
        subscription._leases._held.set()
        with self.assertRaisesRegex(RuntimeError, "a mistake of ours"):
            await asyncio.wait_for(anext(subscription), BOUND)
        await subscription.close()
