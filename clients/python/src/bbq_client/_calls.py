"""The way of every call: a token, a deadline, other tries where they are safe, and errors of our own.

Always true: a call that would do its work twice is repeated only if the server certainly did nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext

from ._wire import Wire
from .errors import BbqError, CertificateError, Closed, DeadlineExceeded, InvalidArgument, Unavailable, typed

# How often a call is tried.
TRIES = 6

# Doing these twice does them twice.
_ONCE = frozenset(
    {"Publish", "Receive", "DeleteQueue", "PurgeQueue", "DeleteTopic", "Unbind", "CreateToken", "RevokeToken"}
)
# The server did nothing, and another try would come to the same.
_FINAL = (CertificateError, Closed, InvalidArgument)


class Backoff:
    """Delays between tries: a random part of a bound that doubles from 0.1 s to 5 s, and what the server asked for."""

    def __init__(self) -> None:
        self._bound = 0.1

    def delay(self, error: BbqError) -> float:
        jittered = random.uniform(0, self._bound)
        self._bound = min(self._bound * 2, 5.0)
        return (error.retry_after or 0) + jittered


class Calls:
    """An interceptor of connectrpc's for unary calls and server streams."""

    def __init__(self, wire: Wire, token: str | None) -> None:
        self._wire = wire
        self._authorization = f"Bearer {token}" if token else None

    async def intercept_unary(
        self, call_next: Callable[[Any, RequestContext[Any, Any]], Awaitable[Any]], request: Any, ctx: RequestContext[Any, Any]
    ) -> Any:
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            async with self._wire.calling():
                return await self._repeated(call_next, request, ctx)
        finally:
            # Before Python 3.12, wait_for loses a cancel that comes with the answer, or with the deadline.
            if task and task.cancelling() > cancels:
                raise asyncio.CancelledError

    async def _repeated(
        self, call_next: Callable[[Any, RequestContext[Any, Any]], Awaitable[Any]], request: Any, ctx: RequestContext[Any, Any]
    ) -> Any:
        once = ctx.method.name in _ONCE or (ctx.method.name == "Transact" and not request.transaction_id)
        backoff = Backoff()
        self._sign(ctx)
        for left in reversed(range(TRIES)):
            if ctx.timeout_ms is not None:
                ctx.request_headers["grpc-timeout"] = f"{max(int(ctx.timeout_ms), 1)}m"
            try:
                return await call_next(request, ctx)
            except ConnectError as raised:
                error = self._typed(raised)
            again = isinstance(error, Unavailable) and not once
            if not isinstance(error, _FINAL):
                again = again or error.is_unprocessed
            delay = backoff.delay(error)
            if not again or left == 0 or (ctx.timeout_ms is not None and delay * 1000 >= ctx.timeout_ms):
                raise error
            await asyncio.sleep(delay)
        raise AssertionError("the last try returns or raises")

    async def intercept_server_stream(
        self, call_next: Callable[[Any, RequestContext[Any, Any]], AsyncIterator[Any]], request: Any, ctx: RequestContext[Any, Any]
    ) -> AsyncIterator[Any]:
        self._sign(ctx)
        try:
            async with aclosing(call_next(request, ctx)) as responses:  # type: ignore[type-var]
                async for response in responses:
                    yield response
        except ConnectError as raised:
            raise self._typed(raised) from None

    def _sign(self, ctx: RequestContext[Any, Any]) -> None:
        if self._authorization:
            ctx.request_headers["authorization"] = self._authorization

    def _typed(self, raised: ConnectError) -> BbqError:
        # connectrpc makes an error of the cancelling of our own task; it is none.
        if isinstance(raised.__cause__, asyncio.CancelledError):
            raise raised.__cause__
        error = typed(raised)
        if isinstance(error, Unavailable) and error.reason is None:
            if self._wire.closed:
                return Closed("the client was closed; whether the call had an effect is not known")
            self._wire.lost()
        elif isinstance(error, DeadlineExceeded) and error.reason is None:
            error.args = ("no answer within the deadline; whether the call had an effect is not known",)
        return error
