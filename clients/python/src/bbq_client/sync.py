"""The sync face: the same client for programs without an event loop.

It has a thread with a loop of its own, and every call waits for what that loop does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ._generated.bbq.v1.queue_service_pb import RoutedMessage
from .client import Client
from .errors import Closed, ReceiptError
from .message import Delivery, Message, Nack, Published
from .profile import Profile

if TYPE_CHECKING:
    from types import TracebackType

    from .publisher import Publisher
    from .subscription import Subscription

Result = TypeVar("Result")


class SyncClient:
    """A client whose calls block; made by `SyncClient.connect()`. Safe to use from several threads."""

    def __init__(self, profile: Profile | str | os.PathLike[str] | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bbq-client", daemon=True)
        self._thread.start()
        try:
            self._client = self.run(lambda: Client.connect(profile))
        except BaseException:
            self._stop()
            raise

    @classmethod
    def connect(cls, profile: Profile | str | os.PathLike[str] | None = None) -> SyncClient:
        """Connects like `Client.connect`."""
        return cls(profile)

    def run(self, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Runs anything of the async client, `client`, and waits for it."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("this is the client's own thread, which would wait for itself")
        if not self._thread.is_alive():
            raise Closed("the client is closed", unprocessed=True)

        async def running() -> Result:
            return await call()

        future = asyncio.run_coroutine_threadsafe(running(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def client(self) -> Client:
        """The async client, for what has no method here; see `run`."""
        return self._client

    def publish(self, queue: str, message: Message | bytes | str) -> int:
        """Like `Client.publish`."""
        return self.run(lambda: self._client.publish(queue, message))

    def publish_all(self, queue: str, messages: Sequence[Message | bytes | str]) -> list[Published]:
        """Like `Client.publish_all`."""
        return self.run(lambda: self._client.publish_all(queue, messages))

    def publish_to_topic(
        self, topic: str, routing_key: str, messages: Sequence[Message | bytes | str]
    ) -> list[list[RoutedMessage]]:
        """Like `Client.publish_to_topic`."""
        return self.run(lambda: self._client.publish_to_topic(topic, routing_key, messages))

    def publisher(
        self,
        queue: str,
        *,
        call_messages_max: int = 1_000,
        call_bytes_max: int = 1024 * 1024,
        calls_in_flight: int = 1,
        unconfirmed_max: int = 10_000,
    ) -> SyncPublisher:
        """Like `Client.publisher`."""

        async def made() -> Publisher:
            return self._client.publisher(
                queue,
                call_messages_max=call_messages_max,
                call_bytes_max=call_bytes_max,
                calls_in_flight=calls_in_flight,
                unconfirmed_max=unconfirmed_max,
            )

        return SyncPublisher(self, self.run(made))

    def subscribe(
        self,
        queue: str,
        *,
        max_in_flight: int = 0,
        max_in_flight_bytes: int = 0,
        lease: float | None = None,
        consumer_name: str = "",
        auto_extend: bool = True,
    ) -> SyncSubscription:
        """Like `Client.subscribe`; deliveries as an iterator, to be left by `with` or `close`."""

        async def subscribed() -> Subscription:
            return self._client.subscribe(
                queue,
                max_in_flight=max_in_flight,
                max_in_flight_bytes=max_in_flight_bytes,
                lease=lease,
                consumer_name=consumer_name,
                auto_extend=auto_extend,
            )

        return SyncSubscription(self, self.run(subscribed))

    def receive(
        self, queue: str, *, max_messages: int = 1, wait: float = 0, lease: float | None = None
    ) -> list[SyncDelivery]:
        """Like `Client.receive`."""
        received = self.run(
            lambda: self._client.receive(queue, max_messages=max_messages, wait=wait, lease=lease)
        )
        return [SyncDelivery(self, delivery) for delivery in received]

    def ack(self, queue: str, receipts: Sequence[str]) -> list[ReceiptError]:
        """Like `Client.ack`."""
        return self.run(lambda: self._client.ack(queue, receipts))

    def nack(self, queue: str, receipts: Sequence[str], how: Nack = Nack()) -> list[ReceiptError]:
        """Like `Client.nack`."""
        return self.run(lambda: self._client.nack(queue, receipts, how))

    def extend(self, queue: str, receipts: Sequence[str], lease: float | None = None) -> list[ReceiptError]:
        """Like `Client.extend`."""
        return self.run(lambda: self._client.extend(queue, receipts, lease))

    def close(self) -> None:
        """Like `Client.close`."""
        if self._thread.is_alive():
            try:
                self.run(self._client.close)
            finally:
                self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncPublisher:
    """Publishes many messages to one queue, many to a call; made by `SyncClient.publisher`."""

    def __init__(self, client: SyncClient, publisher: Publisher) -> None:
        self._client, self._publisher = client, publisher

    def publish(self, message: Message | bytes | str) -> Future[Published]:
        """Like `Publisher.publish`: waits for room, then takes the message. What is returned resolves once it is confirmed."""

        async def taken() -> Future[Published]:
            confirmed: Future[Published] = Future()
            # The message goes whatever becomes of this.
            confirmed.set_running_or_notify_cancel()

            def confirm(outcome: asyncio.Future[Published]) -> None:
                if (error := outcome.exception()) is not None:
                    confirmed.set_exception(error)
                else:
                    confirmed.set_result(outcome.result())

            (await self._publisher.publish(message)).add_done_callback(confirm)
            return confirmed

        return self._client.run(taken)

    def flush(self) -> None:
        """Like `Publisher.flush`."""
        self._client.run(self._publisher.flush)

    def close(self) -> None:
        """Like `Publisher.close`."""
        self._client.run(self._publisher.close)

    def __enter__(self) -> SyncPublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncDelivery:
    """A delivery whose settlements block."""

    def __init__(self, client: SyncClient, delivery: Delivery) -> None:
        self._client, self.delivery = client, delivery

    @property
    def queue(self) -> str:
        """Where it came from."""
        return self.delivery.queue

    @property
    def body(self) -> bytes:
        """The message's payload."""
        return self.delivery.body

    @property
    def attributes(self) -> dict[str, str]:
        """What goes with it."""
        return self.delivery.attributes

    @property
    def sequence(self) -> int:
        """Its number in its queue."""
        return self.delivery.sequence

    @property
    def attempt(self) -> int:
        """Which delivery of it this is, from 1."""
        return self.delivery.attempt

    @property
    def receipt(self) -> str:
        """The right to settle this attempt; empty in an at-most-once queue."""
        return self.delivery.receipt

    @property
    def ordering_key(self) -> str:
        """What it keeps its order with, in a queue with order by key."""
        return self.delivery.ordering_key

    @property
    def priority(self) -> int:
        """0 to 9, higher first."""
        return self.delivery.priority

    @property
    def deduplication_id(self) -> str:
        """What its publisher gave it, so that it is stored once."""
        return self.delivery.deduplication_id

    @property
    def published_at(self) -> datetime | None:
        """By the server's clock."""
        return self.delivery.published_at

    @property
    def lease_expires_at(self) -> datetime | None:
        """When the lease ends unless it is extended, by the server's clock; as of the delivery."""
        return self.delivery.lease_expires_at

    @property
    def settled(self) -> bool:
        """Whether it was acked or nacked here."""
        return self.delivery.settled

    def ack(self) -> None:
        """Like `Delivery.ack`."""
        self._client.run(self.delivery.ack)

    def nack(self, *, delay: float | None = None, dead_letter: bool = False, reason: str = "") -> None:
        """Like `Delivery.nack`."""
        self._client.run(lambda: self.delivery.nack(delay=delay, dead_letter=dead_letter, reason=reason))

    def extend(self, seconds: float) -> None:
        """Like `Delivery.extend`."""
        self._client.run(lambda: self.delivery.extend(seconds))


class SyncSubscription:
    """Deliveries as an iterator."""

    def __init__(self, client: SyncClient, subscription: Subscription) -> None:
        self._client, self._subscription = client, subscription

    def __iter__(self) -> Iterator[SyncDelivery]:
        return self

    def __next__(self) -> SyncDelivery:
        async def following() -> Delivery | None:
            return await anext(self._subscription, None)

        delivery = self._client.run(following)
        if delivery is None:
            raise StopIteration
        return SyncDelivery(self._client, delivery)

    def handle(
        self,
        handler: Callable[[SyncDelivery], object],
        *,
        concurrency: int = 1,
        on_error: Callable[[Delivery, Exception], object] | None = None,
    ) -> None:
        """Like `Subscription.handle`, in so many threads. `on_error` is called in the client's own thread, where nothing that blocks
        belongs."""
        with ThreadPoolExecutor(concurrency, thread_name_prefix="bbq-handler") as threads:

            async def handle(delivery: Delivery) -> None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(threads, handler, SyncDelivery(self._client, delivery))

            self._client.run(
                lambda: self._subscription.handle(handle, concurrency=concurrency, on_error=on_error)
            )

    def close(self) -> None:
        """Like `Subscription.close`."""
        self._client.run(self._subscription.close)

    def __enter__(self) -> SyncSubscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
