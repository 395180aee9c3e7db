"""The sync face: the same client, from threads."""

from __future__ import annotations

import threading
from typing import Any
from unittest import TestCase, mock

from bbq_client import Client, Closed, InvalidArgument, Profile, Published, SyncClient, SyncDelivery
from bbq_client import proto
from connectrpc.code import Code
from world import BOUND, Case, Server, refusal


class Sync(TestCase):
    def setUp(self) -> None:
        case = Case()

        async def connected(profile: object) -> Client:
            await case.asyncSetUp()
            return case.client

        with mock.patch.object(Client, "connect", connected):
            self.client = SyncClient.connect(Profile("http://127.0.0.1:1"))
        self.server: Server = case.server
        self.addCleanup(self.client.close)

    def deliver(self, *receipts: str) -> None:
        async def delivering() -> None:
            self.server.deliver(*receipts)

        self.client.run(delivering)

    def test_a_publisher_confirms_each_message(self) -> None:
        async def refuse(messages: list[proto.Message]) -> None:
            if any(message.body == b"bad" for message in messages):
                raise refusal(Code.INVALID_ARGUMENT, "INVALID_FIELD")

        self.server.on_publish = refuse
        with self.client.publisher("q", call_messages_max=10) as publisher:
            futures = [publisher.publish(body) for body in ("a", "b")]
            self.assertEqual([future.result(BOUND) for future in futures], [Published(1, False)] * 2)
            bad = publisher.publish("bad")
            with self.assertRaises(InvalidArgument):
                bad.result(BOUND)
            with self.assertRaises(InvalidArgument):
                publisher.flush()
        with self.assertRaises(Closed):
            publisher.publish("late")
        self.assertEqual([[str(m.body, "ascii") for m in call] for call in self.server.published], [["a"], ["b"]])

    def test_a_topic_is_published_to(self) -> None:
        self.assertEqual(self.client.publish_to_topic("t", "a.b", ["x"]), [[]])

    def test_a_handler_runs_in_threads_of_its_own(self) -> None:
        self.deliver("a", "b")
        both, seen = threading.Barrier(2, timeout=BOUND), []

        def handler(delivery: SyncDelivery) -> None:
            both.wait()
            seen.append((delivery.receipt, delivery.body, threading.current_thread().name.split("_")[0]))
            if delivery.receipt == "a":
                delivery.nack(delay=60)

        with self.client.subscribe("q", auto_extend=False) as subscription:
            failed: list[BaseException] = []

            def handle() -> None:
                try:
                    subscription.handle(handler, concurrency=2)
                except BaseException as error:
                    failed.append(error)

            handling = threading.Thread(target=handle)
            handling.start()

            async def settled() -> None:
                case = Case()
                await case.until(lambda: len(self.server.settled) == 2)

            self.client.run(settled)
        handling.join(BOUND)
        self.assertEqual((failed, handling.is_alive()), ([], False))
        self.assertEqual(sorted(seen), [("a", b"x", "bbq-handler"), ("b", b"x", "bbq-handler")])
        self.assertEqual(sorted(self.server.settled), [("ack", "b"), ("nack", "a")])

    def test_a_delivery_shows_all_that_it_has(self) -> None:
        self.deliver("a")
        with self.client.subscribe("q", auto_extend=False) as subscription:
            delivery = next(subscription)
            shown: dict[str, Any] = {
                name: getattr(delivery, name) for name, kind in vars(SyncDelivery).items() if isinstance(kind, property)
            }
            self.assertEqual(shown["receipt"], "a")
            fields = {name for name in vars(delivery.delivery) if not name.startswith("_")} | {"settled"}
            self.assertEqual(set(shown), fields)
            delivery.ack()
            self.assertTrue(delivery.settled)

    def test_a_closed_client_refuses(self) -> None:
        self.client.close()
        with self.assertRaises(Closed):
            self.client.publish("q", "x")
        self.client.close()

    def test_the_own_thread_cannot_wait_for_itself(self) -> None:
        async def inside() -> None:
            self.client.publish("q", "x")

        with self.assertRaisesRegex(RuntimeError, "own thread"):
            self.client.run(inside)
