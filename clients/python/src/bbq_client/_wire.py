"""The wire: what the generated clients send requests on.

It decides which HTTP is spoken and when that is decided anew. It never repeats a request.

Always true:
- at most one attempt to connect runs; all callers wait for the same one, and it goes on if they leave;
- only what has connected is chosen, and the choice lasts no longer than its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pyqwest import HTTPTransport, HTTPVersion, Request, Response

from ._http3 import CONNECT_TIMEOUT, Http3Transport
from .errors import BbqError, Closed, unreachable
from .profile import Profile, pem

# How long HTTP/3 may take to connect before HTTP/2 is tried beside it, where the profile leaves the choice.
HEAD_START = 0.3
# How long HTTP/3 may still take once HTTP/2 was refused: a server that listens answers well within it.
LAST_CHANCE = 1.0
# Between the three probes of a TCP connection that was silent for 15 s. pyqwest sends no pings of HTTP/2's own.
TCP_KEEPALIVE = 3.0
# Losing a connection fails every call on it: those that fail so soon after the choice belong to the one before.
STALE = 1.0


class Wire:
    """The transport under connectrpc: HTTP/3 or HTTP/2, as the profile has it or as it gets through."""

    def __init__(self, profile: Profile) -> None:
        ca = pem(profile.ca, "ca")
        certificate, key = pem(profile.client_certificate, "client_certificate"), pem(profile.client_key, "client_key")
        self._address = profile.address
        self._http3 = Http3Transport(profile.host, profile.port, ca=ca, certificate=certificate, key=key)
        self._http2 = HTTPTransport(
            tls_ca_cert=ca,
            tls_cert=certificate,
            tls_key=key,
            http_version=HTTPVersion.HTTP2,
            connect_timeout=CONNECT_TIMEOUT,
            pool_idle_timeout=None,
            tcp_keepalive_interval=TCP_KEEPALIVE,
            follow_redirects=False,
            enable_gzip=False,
            enable_brotli=False,
            enable_zstd=False,
            enable_otel=False,
        )
        self._transport = profile.transport if profile.secure else "http2"
        self._chosen: str | None = None
        self._chosen_at = 0.0
        self._attempt: asyncio.Task[str] | None = None
        self._losers: set[asyncio.Task[str]] = set()
        self._calls: set[asyncio.Timeout] = set()
        self.closed = False

    async def execute(self, request: Request) -> Response:
        """Sends a request and returns its response once the head is there."""
        if await self.connect() == "http3":
            return await self._http3.execute(request)
        try:
            return await self._http2.execute(request)
        except ConnectionError as error:
            # Only what hyper names so was never sent; to be wrong here could publish twice.
            if "client error (Connect)" in str(error):
                raise self._unreachable(error) from error
            raise

    async def connect(self) -> str:
        """The HTTP of the connection there is, or of a new one."""
        if self.closed:
            raise Closed("the client is closed")
        if self._chosen == "http2" or (self._chosen == "http3" and self._http3.alive):
            return self._chosen
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._connect())
            # Whoever waited for it may have left.
            self._attempt.add_done_callback(lambda attempt: attempt.cancelled() or attempt.exception())
        return await asyncio.shield(self._attempt)

    def lost(self) -> None:
        """A call found the connection gone: the next one connects anew, over what gets through then."""
        if asyncio.get_running_loop().time() - self._chosen_at >= STALE:
            self._chosen = None

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """A call, which closing the wire ends."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._calls.add(scope)
                yield
        except TimeoutError:
            if scope.expired():
                raise Closed("the client was closed; whether the call had an effect is not known") from None
            raise
        finally:
            self._calls.discard(scope)

    async def aclose(self) -> None:
        """Ends all calls, closes all, and refuses what comes after."""
        self.closed = True
        now = asyncio.get_running_loop().time()
        for call in self._calls:
            call.reschedule(now)
        if self._attempt is not None:
            self._attempt.cancel()
        await self._http3.aclose()
        await self._http2.aclose()

    async def _connect(self) -> str:
        try:
            if self._transport == "http3":
                chosen = await self._connect_http3()
            elif self._transport == "http2":
                chosen = await self._connect_http2()
            else:
                chosen = await self._race()
            self._chosen, self._chosen_at = chosen, asyncio.get_running_loop().time()
            return chosen
        finally:
            self._attempt = None

    async def _race(self) -> str:
        """Both, HTTP/3 with a head start; the first to connect wins."""
        http3 = asyncio.create_task(self._connect_http3())
        running = {http3}
        try:
            done, _ = await asyncio.wait(running, timeout=HEAD_START)
            if done and http3.exception() is None:
                return http3.result()
            http2 = asyncio.create_task(self._connect_http2())
            running.add(http2)
            await asyncio.wait({http2} if done else running, return_when=asyncio.FIRST_COMPLETED)
            if http2.done() and http2.exception() is not None and not http3.done():
                await asyncio.wait({http3}, timeout=LAST_CHANCE)
            elif not http2.done() and http3.exception() is not None:
                await asyncio.wait({http2})
            if http3.done() and http3.exception() is None:
                return http3.result()
            # TCP knows why: a refusal comes at once, while UDP is silent where nobody listens.
            return http2.result()
        finally:
            for loser in running:
                self._cancel(loser)

    def _cancel(self, loser: asyncio.Task[str]) -> None:
        """Ends an attempt that is not needed any more, without waiting until that is done."""
        loser.cancel()
        self._losers.add(loser)
        loser.add_done_callback(self._losers.discard)
        loser.add_done_callback(lambda attempt: attempt.cancelled() or attempt.exception())

    async def _connect_http3(self) -> str:
        await self._http3.connect()
        return "http3"

    async def _connect_http2(self) -> str:
        try:
            # Any answer will do.
            response = await asyncio.wait_for(
                self._http2.execute(Request("GET", f"{self._address}/")), CONNECT_TIMEOUT
            )
        except TimeoutError:
            why = f"no answer over TCP within {CONNECT_TIMEOUT:.0f} s"
            raise unreachable(self._address, why) from None
        except Exception as error:
            raise self._unreachable(error) from error
        async with response:
            return "http2"

    def _unreachable(self, error: Exception) -> BbqError:
        return unreachable(self._address, str(error).rpartition("client error (Connect): ")[2])
