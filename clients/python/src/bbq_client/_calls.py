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
from pyqwest import HTTPTransport, HTTPVersion, Request, Response

from ._http3 import CONNECT_TIMEOUT, Http3Transport
from .errors import BbqError, DeadlineExceeded, NotConnected, Unavailable, typed
from .profile import Profile, pem

# How often a call is tried.
TRIES = 6
# How long HTTP/3 may take to connect before HTTP/2 is tried, where the profile leaves the choice.
HEAD_START = 1.0

# Doing these twice does them twice.
_ONCE = frozenset(
    {"Publish", "Receive", "DeleteQueue", "PurgeQueue", "DeleteTopic", "Unbind", "CreateToken", "RevokeToken"}
)


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

    def __init__(self, profile: Profile) -> None:
        self._authorization = f"Bearer {profile.token}" if profile.token else None

    async def intercept_unary(
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
                error = _typed(raised)
            again = error.is_unprocessed or (isinstance(error, Unavailable) and not once)
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
            raise _typed(raised) from None

    def _sign(self, ctx: RequestContext[Any, Any]) -> None:
        if self._authorization:
            ctx.request_headers["authorization"] = self._authorization


def _typed(raised: ConnectError) -> BbqError:
    # connectrpc makes an error of the cancelling of our own task; it is none.
    if isinstance(raised.__cause__, asyncio.CancelledError):
        raise raised.__cause__
    error = typed(raised)
    if isinstance(error, DeadlineExceeded) and error.reason is None:
        error.args = ("no answer within the deadline; whether the call had an effect is not known",)
    return error


class Wire:
    """The transport under connectrpc: HTTP/3 or HTTP/2, as the profile has it or as it gets through."""

    def __init__(self, profile: Profile) -> None:
        ca = pem(profile.ca, "ca")
        certificate, key = pem(profile.client_certificate, "client_certificate"), pem(profile.client_key, "client_key")
        self._http3 = Http3Transport(profile.host, profile.port, ca=ca, certificate=certificate, key=key)
        self._http2 = HTTPTransport(
            tls_ca_cert=ca,
            tls_cert=certificate,
            tls_key=key,
            http_version=HTTPVersion.HTTP2,
            connect_timeout=CONNECT_TIMEOUT,
            pool_idle_timeout=None,
            enable_gzip=False,
            enable_brotli=False,
            enable_zstd=False,
            enable_otel=False,
        )
        transport = profile.transport if profile.secure else "http2"
        self._chosen: str | None = None if transport == "auto" else transport
        self._choosing = asyncio.Lock()

    async def execute(self, request: Request) -> Response:
        if await self.choose() == "http3":
            return await self._http3.execute(request)
        try:
            return await self._http2.execute(request)
        except ConnectionError as error:
            raise _unreached(error) from error

    async def choose(self) -> str:
        """Which HTTP is spoken: what connected first is kept."""
        async with self._choosing:
            if self._chosen is None:
                try:
                    await asyncio.wait_for(self._http3.connect(), HEAD_START)
                    self._chosen = "http3"
                except (TimeoutError, NotConnected):
                    self._chosen = "http2"
            return self._chosen

    async def aclose(self) -> None:
        await self._http3.aclose()
        await self._http2.aclose()


def _unreached(error: ConnectionError) -> ConnectionError:
    """Only what hyper names so was never sent; to be wrong here could publish twice."""
    return NotConnected(str(error)) if "client error (Connect)" in str(error) else error
