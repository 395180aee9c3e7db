"""The publisher: many messages, few calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._batcher import Batcher
from .errors import InvalidArgument
from .message import Message, Published

if TYPE_CHECKING:
    from types import TracebackType

    from .client import Client


class Publisher:
    """Publishes many messages to one queue; made by `Client.publisher`.

    Messages are stored in the order of `publish`. No more than `unconfirmed_max` are between `publish` and their
    confirmation. A call that is refused because of one message is split until that one is alone.
    """

    def __init__(
        self, client: Client, queue: str, call_messages_max: int, call_bytes_max: int, unconfirmed_max: int
    ) -> None:
        self._client, self._queue = client, queue
        self._window = asyncio.Semaphore(max(unconfirmed_max, 1))
        self._failed: BaseException | None = None
        self._batcher: Batcher[Message, Published] = Batcher(
            self._call,
            items_max=max(call_messages_max, 1),
            bytes_max=call_bytes_max,
            size=lambda message: len(message.body) + 64,
        )

    async def publish(self, message: Message | bytes | str) -> asyncio.Future[Published]:
        """Waits for room, then takes the message. What is returned resolves once it is confirmed; the message is
        published whether or not that is awaited. Not safe to repeat."""
        await self._window.acquire()
        future = self._batcher.put(Message.of(message))
        future.add_done_callback(self._confirmed)
        return future

    async def flush(self) -> None:
        """Waits until all that was taken is answered, and raises the first error since the last flush."""
        await self._batcher.drained()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.flush()

    def _confirmed(self, future: asyncio.Future[Published]) -> None:
        self._window.release()
        if not future.cancelled() and self._failed is None:
            self._failed = future.exception()

    async def _call(self, messages: list[Message]) -> list[Published | BaseException]:
        try:
            return list(await self._client.publish_all(self._queue, messages))
        except InvalidArgument as error:
            # All or none: nothing of it was stored, so the halves may be sent, the first one first.
            if len(messages) == 1:
                return [error]
            half = len(messages) // 2
            return [*await self._call(messages[:half]), *await self._call(messages[half:])]
        except Exception as error:
            return [error] * len(messages)
