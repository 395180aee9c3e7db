"""Many items, few calls: what is there goes as soon as a call may be made, and while it is in flight the next one fills.

Always true: items go in the order in which they were given; one call at a time unless more are allowed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .errors import Closed

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Entry(Generic[Item, Result]):
    item: Item
    size: int
    future: asyncio.Future[Result]


class Batcher(Generic[Item, Result]):
    """Hands items to `call` in batches of at most `items_max` items and `bytes_max` bytes, but at least one."""

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        items_max: int,
        bytes_max: int = 0,
        calls_max: int = 1,
        size: Callable[[Item], int] = lambda item: 0,
    ) -> None:
        self._call, self._size = call, size
        self._items_max, self._bytes_max = items_max, bytes_max
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._calls_max = calls_max
        self._tasks: set[asyncio.Task[None]] = set()
        # How many were taken, and how many of them have gone into calls; the number of the first item of each call in flight.
        self._taken = self._gone = 0
        self._in_flight: set[int] = set()
        # The event of the moment: something was answered.
        self._turn = asyncio.Event()

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Takes an item; it goes whether or not the future is awaited."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(item, self._size(item), future))
        self._taken += 1
        if len(self._tasks) < self._calls_max:
            self._tasks.add(asyncio.create_task(self._run()))
        return future

    async def flushed(self) -> None:
        """Waits until all that was taken before is answered, whatever comes after it."""
        last = self._taken
        while min(self._in_flight, default=self._gone) < last:
            await self._turn.wait()

    async def _run(self) -> None:
        try:
            while self._waiting:
                first, batch = self._gone, self._next()
                self._gone += len(batch)
                self._in_flight.add(first)
                try:
                    results = await self._call([entry.item for entry in batch])
                except asyncio.CancelledError:
                    batch += self._waiting
                    self._gone += len(self._waiting)
                    self._waiting.clear()
                    self._answer(first, batch, [Closed("the event loop ended before the call did")] * len(batch))
                    raise
                except Exception as error:
                    results = [error] * len(batch)
                self._answer(first, batch, results)
        finally:
            if (task := asyncio.current_task()) is not None:
                self._tasks.discard(task)

    def _next(self) -> list[_Entry[Item, Result]]:
        batch = [self._waiting.popleft()]
        size = batch[0].size
        while self._waiting and len(batch) < self._items_max:
            size += self._waiting[0].size
            if size > self._bytes_max > 0:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _answer(
        self, first: int, batch: list[_Entry[Item, Result]], results: Sequence[Result | BaseException]
    ) -> None:
        for entry, result in zip(batch, results, strict=True):
            future = entry.future
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
                # Whoever does not look at it learns of it by flush, or by the message coming back.
                future.exception()
            else:
                future.set_result(result)
        self._in_flight.discard(first)
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
