"""Publishers: what one bad message costs, and what closing leaves behind."""

from __future__ import annotations

import asyncio

from bbq_client import Closed, FailedPrecondition, InvalidArgument, Message, ResourceExhausted
from bbq_client import client, proto
from bbq_client.message import encoded_size
from connectrpc.code import Code
from world import BOUND, Case, refusal


class Splitting(Case):
    async def test_one_bad_message_fails_alone(self) -> None:
        for code, reason, raised in (
            (Code.INVALID_ARGUMENT, "DELAY_IN_ORDER", InvalidArgument),
            (Code.FAILED_PRECONDITION, "PRIORITY_IN_FIFO", FailedPrecondition),
            (Code.FAILED_PRECONDITION, "NOT_BY_KEY", FailedPrecondition),
            (Code.FAILED_PRECONDITION, "DEDUPLICATION_OFF", FailedPrecondition),
            (Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", ResourceExhausted),
            (Code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", ResourceExhausted),
            (Code.RESOURCE_EXHAUSTED, "TOO_MANY_DELAYED_MESSAGES", ResourceExhausted),
            (Code.RESOURCE_EXHAUSTED, "TOO_MANY_DEDUPLICATION_IDS", ResourceExhausted),
        ):
            with self.subTest(reason):

                async def refuse(messages: list[proto.Message]) -> None:
                    if any(message.body == b"bad" for message in messages):
                        raise refusal(code, reason)

                self.server.on_publish, self.server.published = refuse, []
                publisher = self.client.publisher("q")
                bodies = ["bad" if at == 37 else str(at) for at in range(100)]
                futures = [await publisher.publish(body) for body in bodies]
                with self.assertRaises(raised):
                    await publisher.close()
                outcomes = [type(future.exception()) for future in futures]
                self.assertEqual(outcomes.count(raised), 1)
                self.assertIs(outcomes[37], raised)
                stored = [message.body.decode() for call in self.server.published for message in call]
                self.assertEqual(stored, bodies[:37] + bodies[38:])

    async def test_what_is_no_fault_of_one_message_is_not_split(self) -> None:
        calls = 0

        async def refuse(messages: list[proto.Message]) -> None:
            nonlocal calls
            calls += 1
            raise refusal(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")

        self.server.on_publish = refuse
        publisher = self.client.publisher("q")
        for _ in range(100):
            await publisher.publish("x")
        with self.assertRaises(ResourceExhausted):
            await publisher.flush()
        self.assertEqual(calls, 1)

    async def test_a_call_counts_all_that_is_encoded(self) -> None:
        message = Message(b"", attributes={f"{at}ж" * 20: "v" * 1000 for at in range(40)}, ordering_key="k" * 200)
        encoded = len(message.to_wire().to_binary())
        self.assertTrue(encoded <= encoded_size(message.to_wire()) <= encoded + 1000)
        publisher = self.client.publisher("q", call_bytes_max=encoded * 3)
        for _ in range(20):
            await publisher.publish(message)
        await publisher.close()
        self.assertLessEqual(max(len(call) for call in self.server.published), 3)

    async def test_what_cannot_be_encoded_is_refused_here_and_harms_nobody(self) -> None:
        publisher = self.client.publisher("q")
        good = await publisher.publish("good")
        for bad in (Message(b"", priority=-1), Message("text"), Message(b"", attributes={"a": "\ud800"})):  # type: ignore[arg-type]
            with self.assertRaises(InvalidArgument):
                await (await publisher.publish(bad))
            with self.assertRaises(InvalidArgument):
                await self.client.publish("q", bad)
        await good


class Several(Case):
    async def test_several_calls_may_be_in_flight(self) -> None:
        began: list[bytes] = []
        go_on = {body: asyncio.Event() for body in (b"a", b"b", b"c")}

        async def wait(messages: list[proto.Message]) -> None:
            began.append(messages[0].body)
            await go_on[messages[0].body].wait()

        self.server.on_publish = wait
        publisher = self.client.publisher("q", call_messages_max=1, calls_in_flight=2)
        a = await publisher.publish("a")
        flushing = asyncio.create_task(publisher.flush())
        await asyncio.sleep(0)
        b, c = [await publisher.publish(body) for body in ("b", "c")]
        await self.until(lambda: len(began) == 2)
        # The later ones are answered first: that is no flush of the first one.
        go_on[b"b"].set()
        await self.until(lambda: len(began) == 3)
        go_on[b"c"].set()
        await asyncio.wait_for(asyncio.gather(b, c), BOUND)
        for _ in range(10):
            await asyncio.sleep(0)
        self.assertFalse(flushing.done())
        self.assertFalse(a.done())
        go_on[b"a"].set()
        await asyncio.wait_for(flushing, BOUND)
        self.assertEqual((began, a.done()), ([b"a", b"b", b"c"], True))


class Closing(Case):
    def wait_for_publishers(self, seconds: float) -> None:
        """How long closing a client waits for what publishers took, in this test."""
        self.addCleanup(setattr, client, "CLOSE_PUBLISHERS", client.CLOSE_PUBLISHERS)
        client.CLOSE_PUBLISHERS = seconds

    async def test_closing_the_client_sends_what_publishers_took(self) -> None:
        self.wait_for_publishers(BOUND)
        publisher = self.client.publisher("q", call_messages_max=10)
        futures = [await publisher.publish(str(at)) for at in range(1000)]
        await self.client.close()
        self.assertEqual(sum(map(len, self.server.published)), 1000)
        self.assertTrue(all(future.done() and not future.exception() for future in futures))
        with self.assertRaises(Closed):
            await publisher.publish("late")

    async def test_closing_waits_no_longer_than_its_bound(self) -> None:
        async def never(messages: list[proto.Message]) -> None:
            await asyncio.Event().wait()

        self.server.on_publish = never
        publisher = self.client.publisher("q", call_messages_max=1)
        futures = [await publisher.publish(str(at)) for at in range(3)]
        self.wait_for_publishers(0.1)
        with self.assertRaises(Closed):
            await asyncio.wait_for(self.client.close(), BOUND)
        self.assertEqual([type(future.exception()) for future in futures], [Closed] * 3)

    async def test_a_publisher_that_is_closed_takes_no_more(self) -> None:
        async with self.client.publisher("q", unconfirmed_max=1) as publisher:
            await publisher.publish("x")
            waiting = asyncio.create_task(publisher.publish("x"))
            await asyncio.sleep(0)
        with self.assertRaises(Closed):
            await waiting
        self.assertEqual(len(self.server.published), 1)
