"""Many items, few calls: what is there goes as soon as a call may be made, and while it is in flight the next one fills.

Always true: items go in the order in which they were given, one call at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands items to `call` in batches of at most `items_max` items and `bytes_max` bytes, but at least one."""

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        items_max: int,
        bytes_max: int = 0,
        size: Callable[[Item], int] = lambda item: 0,
    ) -> None:
        self._call, self._size = call, size
        self._items_max, self._bytes_max = items_max, bytes_max
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, item: Item) -> asyncio.Future[Result]:
        """Takes an item; it goes whether or not the future is awaited."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return future

    async def drained(self) -> None:
        """Waits until all that was taken is answered."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._next()
                try:
                    results = await self._call([item for item, _ in batch])
                except asyncio.CancelledError:
                    self._answer(batch, [ConnectionAbortedError("the client was closed")] * len(batch))
                    raise
                except Exception as error:
                    results = [error] * len(batch)
                self._answer(batch, results)
        finally:
            self._task = None

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [self._waiting.popleft()]
        size = self._size(batch[0][0])
        while self._waiting and len(batch) < self._items_max:
            size += self._size(self._waiting[0][0])
            if size > self._bytes_max > 0:
                break
            batch.append(self._waiting.popleft())
        return batch

    @staticmethod
    def _answer(
        batch: list[tuple[Item, asyncio.Future[Result]]], results: Sequence[Result | BaseException]
    ) -> None:
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
                # Whoever does not look at it learns of it by flush, or by the message coming back.
                future.exception()
            else:
                future.set_result(result)
