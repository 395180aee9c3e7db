"""Keeping leases: those of deliveries that are not settled are extended at half their time.

Always true: a lease is kept if and only if its delivery is unsettled and its stream is there.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from .errors import BbqError

if TYPE_CHECKING:
    from .client import Client

# The shortest lease there is, and the longest that is believed where its length is read from two clocks.
LEASE_MIN = 1.0
LEASE_GUESS_MAX = 30.0


class Leases:
    """The leases of one subscription."""

    def __init__(self, client: Client, queue: str, length: float | None) -> None:
        self._client, self._queue, self._length = client, queue, length
        # When each is due, and half its length.
        self._due: dict[str, tuple[float, float]] = {}
        self._held = asyncio.Event()

    def hold(self, receipt: str, expires_at: datetime | None) -> None:
        """Keeps a lease from now on."""
        length = self._length
        if length is None:
            left = (expires_at - datetime.now(timezone.utc)).total_seconds() if expires_at else LEASE_MIN
            length = min(left, LEASE_GUESS_MAX)
        half = max(length, LEASE_MIN) / 2
        self._due[receipt] = (asyncio.get_running_loop().time() + half, half)
        self._held.set()

    def release(self, receipt: str) -> None:
        """Keeps it no longer."""
        self._due.pop(receipt, None)

    def clear(self) -> None:
        """Forgets all: their stream has ended, and they with it."""
        self._due.clear()

    async def keep(self) -> None:
        """Extends what is due, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._due:
                self._held.clear()
                await self._held.wait()
            first = min(due for due, _ in self._due.values())
            # A new lease may be due sooner, but none sooner than half the shortest there is.
            await asyncio.sleep(min(max(first - loop.time(), 0), LEASE_MIN / 2))
            now = loop.time()
            if first <= now:
                # What is nearly due goes with what is due.
                soon = [receipt for receipt, (due, half) in self._due.items() if due <= now + half / 4]
                # What was due may have been settled meanwhile.
                if soon:
                    await self._extend(soon)

    async def _extend(self, receipts: list[str]) -> None:
        now = asyncio.get_running_loop().time
        halves = {receipt: self._due[receipt][1] for receipt in receipts}
        try:
            # An answer that takes longer than what is left of the leases is worth nothing.
            timely = self._client.with_deadline(min(halves.values()))
            lost = {failed.receipt for failed in await timely.extend(self._queue, receipts, self._length)}
            pause = 1.0
        except BbqError:
            lost, pause = set(), 0.25
        for receipt, half in halves.items():
            if receipt in lost:
                self.release(receipt)
            elif receipt in self._due:
                self._due[receipt] = (now() + half * pause, half)
