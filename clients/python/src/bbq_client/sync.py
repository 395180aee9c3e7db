"""The sync face: the same client for programs without an event loop.

It has a thread with a loop of its own, and every call waits for what that loop does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .client import Client
from .errors import ReceiptError
from .message import Delivery, Message, Nack, Published
from .profile import Profile

if TYPE_CHECKING:
    from types import TracebackType

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

    def subscribe(self, queue: str, **options: Any) -> SyncSubscription:
        """Like `Client.subscribe`; deliveries as an iterator, to be left by `with` or `close`."""

        async def subscribed() -> Subscription:
            return self._client.subscribe(queue, **options)

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
            self.run(self._client.close)
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


class SyncDelivery:
    """A delivery whose settlements block; everything else is the delivery's own."""

    def __init__(self, client: SyncClient, delivery: Delivery) -> None:
        self._client, self.delivery = client, delivery

    def __getattr__(self, name: str) -> Any:
        return getattr(self.delivery, name)

    @property
    def body(self) -> bytes:
        """The message's payload."""
        return self.delivery.body

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

    def close(self) -> None:
        """Like `Subscription.close`."""
        self._client.run(self._subscription.close)

    def __enter__(self) -> SyncSubscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
