"""Calls: what the cancelling of their caller comes to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from bbq_client._calls import Calls
from world import BOUND, Case


class Cancelling(Case):
    async def call(self, began: asyncio.Event) -> Any:
        """One during which a cancel is lost, as in wait_for before Python 3.12."""

        async def deaf(_request: Any, _ctx: Any) -> str:
            began.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(BOUND)
            return "answer"

        context: Any = SimpleNamespace(method=SimpleNamespace(name="Extend"), timeout_ms=None, request_headers={})
        return await Calls(self.client._wire, None).intercept_unary(deaf, None, context)

    async def test_a_cancel_that_is_lost_below_ends_the_call(self) -> None:
        began = asyncio.Event()
        call = asyncio.create_task(self.call(began))
        await began.wait()
        call.cancel()
        await asyncio.wait([call], timeout=BOUND)
        self.assertTrue(call.cancelled())

    async def test_a_caller_that_was_cancelled_before_may_still_call(self) -> None:
        """To give something back, say, before it ends."""
        answers = []

        async def caller() -> None:
            try:
                await asyncio.sleep(BOUND)
            finally:
                answers.append(await self.client.ack("q", ["a"]))

        calling = asyncio.create_task(caller())
        await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait([calling], timeout=BOUND)
        self.assertEqual((answers, self.server.settled), ([[]], [("ack", "a")]))
