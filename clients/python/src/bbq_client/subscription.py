"""Subscriptions: messages as they come.

It decides when a stream is opened again. It never settles anything by itself, except for what a handler is through with.

Always true: what was delivered on a stream that has ended is not handed out any more: the server has given it back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from ._calls import Backoff
from ._generated.bbq.v1.queue_service_pb import SubscribeRequest, SubscribeResponse
from ._leases import Leases
from .errors import BbqError, DeadlineExceeded, ResourceExhausted, Unavailable
from .message import Delivery

if TYPE_CHECKING:
    from types import TracebackType

    from .client import Client

_log = logging.getLogger("bbq_client")
# A stream that lasted so long was a success: the next one is opened without a long wait.
STEADY = 10.0


class Subscription:
    """Deliveries as an async iterator, which goes on until it is closed or an error ends it; made by `Client.subscribe`.

    It opens its stream again, with backoff and jitter, when the connection is lost or the server is unavailable; any
    other error is raised to whoever iterates. Closing it, also by leaving `async with`, waits for settlements on their way
    and cancels the stream; the server gives back at once what is still held.
    """

    def __init__(self, client: Client, request: SubscribeRequest, lease: float | None, auto_extend: bool) -> None:
        self._client, self._request = client, request
        self._leases = Leases(client, request.queue, lease)
        self._ready: deque[Delivery] = deque()
        self._news = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = False
        self._tasks = [asyncio.create_task(self._read())]
        self._extends = auto_extend
        if auto_extend:
            self._tasks.append(asyncio.create_task(self._leases.keep()))

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()
        return self._ready.popleft()

    async def handle(self, handler: Callable[[Delivery], Awaitable[object]], *, concurrency: int = 1) -> None:
        """Calls `handler` for each delivery, so many at once. A delivery whose handler returns is acked, and nacked if it
        raises; a handler may also settle it by itself. Goes on until the subscription ends."""

        async def work() -> None:
            async for delivery in self:
                try:
                    await handler(delivery)
                except Exception as error:
                    _log.warning("%s: a handler failed, giving the message back: %r", delivery.queue, error)
                    await self._settled(delivery.nack(reason=repr(error)[:1000]))
                else:
                    await self._settled(delivery.ack())

        workers = [asyncio.create_task(work()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    @staticmethod
    async def _settled(settling: Awaitable[None]) -> None:
        try:
            await settling
        except BbqError as error:
            _log.warning("a settlement failed, the message may come again: %s", error)

    async def close(self) -> None:
        """Waits until the settlements on their way are answered, then ends the subscription."""
        if not self._closed:
            await self._client._settled(self._request.queue)
        await self._cancel()

    async def _cancel(self) -> None:
        self._closed = True
        self._client._subscriptions.discard(self)
        self._ready.clear()
        self._leases.clear()
        self._news.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self) -> None:
        backoff, loop = Backoff(), asyncio.get_running_loop()
        while True:
            opened = loop.time()
            try:
                await self._read_one()
                error: BbqError = Unavailable("the server ended the subscription")
            except BbqError as ended:
                error = ended
            except Exception as ended:
                self._end(ended)
                return
            # The server has given back what it delivered, unless it was settled as it was sent.
            self._leases.clear()
            self._ready = deque(delivery for delivery in self._ready if not delivery.receipt)
            if not _reopens(error):
                self._end(error)
                return
            if loop.time() - opened >= STEADY:
                backoff = Backoff()
            delay = backoff.delay(error)
            _log.info("%s: subscription lost, opening it again in %.1f s: %s", self._request.queue, delay, error)
            await asyncio.sleep(delay)

    async def _read_one(self) -> None:
        stream: AsyncIterator[SubscribeResponse] = self._client._streams.subscribe(self._request)
        async with aclosing(stream) as responses:  # type: ignore[type-var]
            async for response in responses:
                for wire in response.deliveries:
                    delivery = Delivery._of(wire, self._request.queue, self._client, self._leases.release)
                    if self._extends and delivery.receipt:
                        self._leases.hold(delivery.receipt, delivery.lease_expires_at)
                    self._ready.append(delivery)
                self._news.set()

    def _end(self, error: BaseException) -> None:
        self._error = error
        self._news.set()


def _reopens(error: BbqError) -> bool:
    """Whether opening the stream again may help."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after is not None
    return isinstance(error, Unavailable | DeadlineExceeded)
