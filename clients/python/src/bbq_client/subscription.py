"""Subscriptions: messages as they come.

It decides when a stream is opened again. It never settles anything by itself, except for what a handler is through with.

Always true:
- what was delivered on a stream that has ended is not handed out any more: the server has given it back;
- no more than `max_in_flight` deliveries wait here, besides those of one response.
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
from .errors import BbqError, ConnectFailed, DeadlineExceeded, ResourceExhausted, Unavailable
from .message import Delivery

if TYPE_CHECKING:
    from types import TracebackType

    from .client import Client

_log = logging.getLogger("bbq_client")
# A stream that lasted so long was a success: the next one is opened without a long wait.
STEADY = 10.0
# What the server takes for a `max_in_flight` of 0.
IN_FLIGHT_DEFAULT = 100
# How much of what a handler raised is told to the server, which takes 1 KiB.
REASON_BYTES_MAX = 1000


class Subscription:
    """Deliveries as an async iterator, which goes on until it is closed or an error ends it; made by `Client.subscribe`.

    It opens its stream again, with backoff and jitter, when the connection is lost or the server is unavailable; any
    other error is raised to whoever iterates, and so is it if there is no connection at the start. Closing it, also by leaving `async with`, waits for settlements on their way
    and cancels the stream; the server gives back at once what is still held.
    """

    def __init__(self, client: Client, request: SubscribeRequest, lease: float | None, auto_extend: bool) -> None:
        self._client, self._request = client, request
        self._leases = Leases(client, request.queue, lease)
        self._ready: deque[Delivery] = deque()
        self._news = asyncio.Event()
        # Credit bounds what is leased; what is gone once it was sent has to wait where it comes from.
        self._ready_max = request.max_in_flight or IN_FLIGHT_DEFAULT
        self._room = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = False
        self._tasks = [asyncio.create_task(self._read())]
        self._extends = auto_extend
        if auto_extend:
            self._tasks.append(asyncio.create_task(self._leases.keep()))
        for task in self._tasks:
            task.add_done_callback(self._task_ended)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while not self._closed:
            if self._ready:
                delivery = self._ready.popleft()
                if len(self._ready) <= self._ready_max:
                    self._room.set()
                return delivery
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    async def handle(
        self,
        handler: Callable[[Delivery], Awaitable[object]],
        *,
        concurrency: int = 1,
        on_error: Callable[[Delivery, Exception], object] | None = None,
    ) -> None:
        """Calls `handler` for each delivery, so many at once. A delivery whose handler returns is acked, and nacked if it
        raises, unless the handler has settled it by itself. Goes on until the subscription ends.

        `on_error` gets what handlers raise and what settlements fail with, after which the message may come again; without it
        they are logged as warnings of `bbq_client`.
        """
        report = on_error or _log_error

        async def work() -> None:
            async for delivery in self:
                try:
                    await handler(delivery)
                    settling = delivery.ack()
                except Exception as error:
                    report(delivery, error)
                    settling = delivery.nack(reason=_reason(error))
                try:
                    # If the handler has settled it, this is how that went.
                    await settling
                except BbqError as error:
                    report(delivery, error)

        workers = [asyncio.create_task(work()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def close(self) -> None:
        """Hands out no more, waits until the settlements on their way are answered, then ends the subscription."""
        if not self._closed:
            self._stop()
            await self._client._settled(self._request.queue)
        await self._cancel()

    def _stop(self) -> None:
        """Hands out no more."""
        self._closed = True
        self._ready.clear()
        self._news.set()

    async def _cancel(self) -> None:
        self._stop()
        self._client._subscriptions.discard(self)
        self._leases.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A task that fails by a mistake of ours fails the subscription, instead of nobody noticing."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self) -> None:
        backoff, loop, first = Backoff(), asyncio.get_running_loop(), True
        while True:
            opened = loop.time()
            try:
                await self._read_one()
                error: BbqError = Unavailable("the server ended the subscription")
            except BbqError as ended:
                error = ended
            # The server has given back what it delivered, unless it was settled as it was sent.
            self._leases.clear()
            self._ready = deque(delivery for delivery in self._ready if not delivery.receipt)
            if not _reopens(error) or (first and isinstance(error, ConnectFailed)):
                self._end(error)
                return
            first = False
            if loop.time() - opened >= STEADY:
                backoff = Backoff()
            delay = backoff.delay(error)
            _log.info("%s: subscription lost, opening it again in %.1f s: %s", self._request.queue, delay, error)
            await asyncio.sleep(delay)

    async def _read_one(self) -> None:
        stream: AsyncIterator[SubscribeResponse] = self._client._streams.subscribe(self._request)
        async with aclosing(stream) as responses:  # type: ignore[type-var]
            async for response in responses:
                # All are leased by now, so all are held before the first is handed out.
                for wire in response.deliveries:
                    delivery = Delivery._of(wire, self._request.queue, self._client, self._leases.release)
                    if self._extends and delivery.receipt:
                        self._leases.hold(delivery.receipt, delivery.lease_expires_at)
                    if not self._closed:
                        self._ready.append(delivery)
                self._news.set()
                while len(self._ready) > self._ready_max:
                    self._room.clear()
                    await self._room.wait()

    def _end(self, error: BaseException) -> None:
        self._error = error
        self._news.set()


def _reopens(error: BbqError) -> bool:
    """Whether opening the stream again may help."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after is not None
    return isinstance(error, Unavailable | DeadlineExceeded)


def _reason(error: Exception) -> str:
    text = repr(error).encode("utf-8", "replace")[:REASON_BYTES_MAX]
    return text.decode("utf-8", "ignore")


def _log_error(delivery: Delivery, error: Exception) -> None:
    _log.warning("%s: message %d may come again: %r", delivery.queue, delivery.sequence, error)
