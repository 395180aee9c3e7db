"""The publisher: many messages, few calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._batcher import Batcher
from ._generated.bbq.v1 import message_pb
from .errors import BbqError, Closed, InvalidArgument
from .message import Message, Published, encoded_size

if TYPE_CHECKING:
    from types import TracebackType

    from .client import Client

# Refusals that may be about one message of many; what is an INVALID_ARGUMENT may be too.
_ABOUT_ONE = frozenset(
    {
        "PRIORITY_IN_FIFO",
        "NOT_BY_KEY",
        "DEDUPLICATION_OFF",
        "LIMIT_EXCEEDED",
        "REQUEST_TOO_LARGE",
        "TOO_MANY_DELAYED_MESSAGES",
        "TOO_MANY_DEDUPLICATION_IDS",
    }
)


class Publisher:
    """Publishes many messages to one queue; made by `Client.publisher`.

    Messages are stored in the order of `publish`, unless several calls may be in flight. No more than `unconfirmed_max` are between `publish` and their
    confirmation. A call that is refused because of one message is split until that one is alone.
    """

    def __init__(
        self,
        client: Client,
        queue: str,
        call_messages_max: int,
        call_bytes_max: int,
        calls_in_flight: int,
        unconfirmed_max: int,
    ) -> None:
        self._client, self._queue = client, queue
        self._window = asyncio.Semaphore(max(unconfirmed_max, 1))
        self._failed: BaseException | None = None
        self._closed = False
        self._batcher: Batcher[message_pb.Message, Published] = Batcher(
            self._call,
            items_max=max(call_messages_max, 1),
            bytes_max=call_bytes_max,
            calls_max=max(calls_in_flight, 1),
            size=encoded_size,
        )

    async def publish(self, message: Message | bytes | str) -> asyncio.Future[Published]:
        """Waits for room, then takes the message. What is returned resolves once it is confirmed; the message is
        published whether or not that is awaited. Not safe to repeat."""
        wire = Message.of(message).to_wire()
        await self._window.acquire()
        if self._closed:
            self._window.release()
            raise Closed("the publisher is closed", unprocessed=True)
        future = self._batcher.put(wire)
        future.add_done_callback(self._confirmed)
        return future

    async def flush(self) -> None:
        """Waits until all that was taken is answered, and raises the first error since the last flush."""
        await self._batcher.flushed()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    async def close(self) -> None:
        """Takes no more, and flushes. A client that is closed closes its publishers."""
        self._closed = True
        await self.flush()

    async def _drain(self) -> None:
        """Takes no more, and raises the first error of what was on its way: the one before is for `flush`."""
        self._closed = True
        before, self._failed = self._failed, None
        try:
            await self.flush()
        finally:
            self._failed = before

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _confirmed(self, future: asyncio.Future[Published]) -> None:
        self._window.release()
        if not future.cancelled() and self._failed is None:
            self._failed = future.exception()

    async def _call(self, messages: list[message_pb.Message]) -> list[Published | BaseException]:
        try:
            return list(await self._client._publish_to_queue(self._queue, messages))
        except BbqError as error:
            if len(messages) == 1 or not _about_one(error):
                return [error] * len(messages)
            # All or none: nothing of it was stored, so the halves may be sent, the first one first.
            half = len(messages) // 2
            return [*await self._call(messages[:half]), *await self._call(messages[half:])]


def _about_one(error: BbqError) -> bool:
    return isinstance(error, InvalidArgument) or error.reason in _ABOUT_ONE
