"""HTTP/3 as a transport of pyqwest's, over aioquic.

pyqwest speaks HTTP/3 itself, but does not hand on the trailers, without which there is no gRPC. This decides how a
connection is made, when another one is, and what the end of a stream means. It knows nothing of gRPC.

Always true:
- a response that is closed early stops its stream at once, which is what gives leases back;
- the server may send no more than `STREAM_WINDOW` bytes of a stream that are not read yet.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import MAX_STREAM_DATA_FRAME_CAPACITY
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StopSendingReceived, StreamReset
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates
from pyqwest import Headers, HTTPVersion, Request, Response, StreamError, StreamErrorCode

from .errors import BbqError, unreachable

# One attempt to connect.
CONNECT_TIMEOUT = 5.0
# As the server's: both sides notice within this time that the other one vanished.
IDLE_TIMEOUT = 10.0
# What the server may send before it has to wait, on a stream and on all of them.
STREAM_WINDOW = 1024 * 1024
CONNECTION_WINDOW = 16 * 1024 * 1024

# Errors of QUIC that carry an alert of TLS, and the alerts that are about a certificate.
TLS_ALERTS = 0x100
CERTIFICATE_ALERTS = frozenset({41, 42, 43, 44, 45, 46, 48, 116})

_CODES = {
    ErrorCode.H3_NO_ERROR: StreamErrorCode.NO_ERROR,
    ErrorCode.H3_REQUEST_REJECTED: StreamErrorCode.REFUSED_STREAM,
    ErrorCode.H3_REQUEST_CANCELLED: StreamErrorCode.CANCEL,
    ErrorCode.H3_EXCESSIVE_LOAD: StreamErrorCode.ENHANCE_YOUR_CALM,
}


class _Stream:
    """What has come on one stream and was not read yet."""

    def __init__(self) -> None:
        self.head: asyncio.Future[list[tuple[bytes, bytes]]] = asyncio.get_running_loop().create_future()
        self.chunks: deque[bytes] = deque()
        # The bytes of them.
        self.unread = 0
        self.trailers = Headers()
        self.ended = False
        self.error: Exception | None = None
        self.news = asyncio.Event()

    def fail(self, error: Exception) -> None:
        if self.ended:
            return
        self.error, self.ended = error, True
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()
        self.news.set()


class _Connection(QuicConnectionProtocol):
    """One connection and its streams."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.h3 = H3Connection(self._quic)
        self._write_other_limits = self._quic._write_stream_limits
        self._quic._write_stream_limits = self._write_stream_limits  # type: ignore[method-assign]
        self.streams: dict[int, _Stream] = {}
        self.alive = True
        # Why TLS ended the connection, if it did.
        self.alert: str | None = None
        self._sending = False

    async def wait_connected(self) -> None:
        try:
            await super().wait_connected()
        finally:
            # Whoever waits may leave before it is known; that it then fails is no news to anyone.
            if self._connected_waiter is not None:
                self._connected_waiter.add_done_callback(lambda waiter: waiter.exception())

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.alive = False
            if TLS_ALERTS <= event.error_code < TLS_ALERTS + 0x100:
                alert = "certificate refused" if event.error_code - TLS_ALERTS in CERTIFICATE_ALERTS else "TLS failed"
                self.alert = f"{alert}: {event.reason_phrase or hex(event.error_code)}"
            why = event.reason_phrase or "it was closed, or the server vanished"
            for each in self.streams.values():
                each.fail(ConnectionError(f"the connection was lost: {why}"))
        elif isinstance(event, StreamReset) and (stream := self.streams.get(event.stream_id)):
            code = _CODES.get(event.error_code, StreamErrorCode.INTERNAL_ERROR)  # type: ignore[call-overload]
            stream.fail(StreamError(f"the server reset the stream with {event.error_code:#x}", code))
        elif isinstance(event, StopSendingReceived):
            return  # The answer says why, and it comes.
        for of_h3 in self.h3.handle_event(event):
            if isinstance(of_h3, HeadersReceived | DataReceived) and (stream := self.streams.get(of_h3.stream_id)):
                self._received(stream, of_h3)

    def _received(self, stream: _Stream, event: HeadersReceived | DataReceived) -> None:
        if isinstance(event, DataReceived):
            if event.data:
                stream.chunks.append(event.data)
                stream.unread += len(event.data)
        elif not stream.head.done():
            stream.head.set_result(event.headers)
        else:
            for name, value in event.headers:
                stream.trailers.add(name.decode("latin-1"), value.decode("latin-1"))
        stream.ended = stream.ended or event.stream_ended
        stream.news.set()

    def send(self, request: Request, body: bytes) -> tuple[int, _Stream]:
        """Sends a whole request."""
        parts = urlsplit(request.url)
        head = [
            (b":method", request.method.encode()),
            (b":scheme", parts.scheme.encode()),
            (b":authority", parts.netloc.encode()),
            (b":path", (parts.path or "/").encode()),
        ]
        head += [(name.encode(), value.encode("latin-1")) for name, value in request.headers.items()]
        stream_id = self._quic.get_next_available_stream_id()
        stream = self.streams[stream_id] = _Stream()
        self.h3.send_headers(stream_id, head, end_stream=not body)
        if body:
            self.h3.send_data(stream_id, body, end_stream=True)
        self._transmit_once()
        return stream_id, stream

    def read(self, stream: _Stream) -> bytes:
        """Takes what came first, and lets the server send more when half of what it may is used."""
        waits = stream.unread > STREAM_WINDOW // 2
        chunk = stream.chunks.popleft()
        stream.unread -= len(chunk)
        if waits and stream.unread <= STREAM_WINDOW // 2 and self.alive:
            self._transmit_once()
        return chunk

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:
        """In place of aioquic's own, which doubles what the server may send whether or not anything is read."""
        stream_id = stream.stream_id
        ours = None if stream_id is None else self.streams.get(stream_id)
        if ours is None or stream_id is None:
            self._write_other_limits(builder=builder, space=space, stream=stream)
            return
        limit = stream.receiver.starting_offset() - ours.unread + STREAM_WINDOW
        if limit - stream.max_stream_data_local >= STREAM_WINDOW // 2:
            stream.max_stream_data_local = limit
        if stream.max_stream_data_local_sent != stream.max_stream_data_local:
            frame = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
                handler=self._quic._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            frame.push_uint_var(stream_id)
            frame.push_uint_var(stream.max_stream_data_local)
            stream.max_stream_data_local_sent = stream.max_stream_data_local

    def forget(self, stream_id: int) -> None:
        """Ends a stream for this side; cancels it if the server is not through with it."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None and not stream.ended and self.alive:
            self._quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            self._transmit_once()

    def _transmit_once(self) -> None:
        """Transmits when all who are ready to run have said what they want sent: each time aioquic looks at every stream."""

        def transmit() -> None:
            self._sending = False
            self.transmit()

        if not self._sending:
            self._sending = True
            self._loop.call_soon(transmit)


class Http3Transport:
    """Sends requests over one connection, which is made when it is needed and again when it was lost."""

    def __init__(
        self, host: str, port: int, *, ca: bytes | None, certificate: bytes | None, key: bytes | None
    ) -> None:
        self._host, self._port = host, port
        self._ca, self._certificate, self._key = ca, certificate, key
        self._connection: _Connection | None = None
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def execute(self, request: Request) -> Response:
        """Sends a request and returns its response once the head is there. Cancelling it cancels the stream."""
        content = request.content
        body = content if isinstance(content, bytes) else b"".join([part async for part in content])
        connection = await self.connect()
        stream_id, stream = connection.send(request, body)
        try:
            head = await stream.head
        except BaseException:
            connection.forget(stream_id)
            raise
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head]
        return Response(
            status=int(next(value for name, value in fields if name == ":status")),
            http_version=HTTPVersion.HTTP3,
            headers=Headers([field for field in fields if not field[0].startswith(":")]),
            content=_Content(connection, stream_id, stream),
            trailers=stream.trailers,
        )

    @property
    def alive(self) -> bool:
        """Whether there is a connection, as far as this side knows."""
        return self._connection is not None and self._connection.alive

    async def connect(self) -> _Connection:
        """The connection that is alive, or a new one."""
        async with self._lock:
            if self._connection is None or not self._connection.alive:
                await self._close()
                self._connection = await self._open()
            return self._connection

    async def aclose(self) -> None:
        """Closes the connection and waits until the server knows."""
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        self._connection = None
        if keeper := self._keeper:
            self._keeper = None
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _open(self) -> _Connection:
        configuration = QuicConfiguration(
            alpn_protocols=H3_ALPN,
            cadata=self._ca,
            idle_timeout=IDLE_TIMEOUT,
            is_client=True,
            max_data=CONNECTION_WINDOW,
            max_stream_data=STREAM_WINDOW,
            server_name=self._host,
            verify_mode=ssl.CERT_REQUIRED,
        )
        if self._certificate and self._key:
            chain = load_pem_x509_certificates(self._certificate)
            configuration.certificate, configuration.certificate_chain = chain[0], chain[1:]
            configuration.private_key = load_pem_private_key(self._key)
        opened: asyncio.Future[_Connection] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(configuration, opened))
        try:
            return await asyncio.wait_for(asyncio.shield(opened), CONNECT_TIMEOUT)
        except BaseException as error:
            await self._close()
            if isinstance(error, TimeoutError):
                raise self._unreachable(f"no answer over UDP within {CONNECT_TIMEOUT:.0f} s") from None
            raise

    def _unreachable(self, why: str) -> BbqError:
        return unreachable(f"{self._host}:{self._port}", why)

    async def _keep(self, configuration: QuicConfiguration, opened: asyncio.Future[_Connection]) -> None:
        """Owns the connection, because whoever needed it first may be cancelled."""
        made: list[_Connection] = []

        def make(*args: Any, **kwargs: Any) -> _Connection:
            made.append(_Connection(*args, **kwargs))
            return made[-1]

        try:
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(
                    connect(self._host, self._port, configuration=configuration, create_protocol=make)
                )
                assert isinstance(connection, _Connection)
                opened.set_result(connection)
                await connection.wait_closed()
        except (OSError, ConnectionError) as error:
            if not opened.done():
                alert = made[0].alert if made else None
                opened.set_exception(self._unreachable(alert or str(error) or "the handshake failed"))


class _Content:
    """The body as it comes; closing it early cancels the stream, whether or not anything was read."""

    def __init__(self, connection: _Connection, stream_id: int, stream: _Stream) -> None:
        self._connection, self._stream_id, self._stream = connection, stream_id, stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        stream = self._stream
        while not stream.chunks:
            if stream.ended:
                await self.aclose()
                raise stream.error or StopAsyncIteration
            stream.news.clear()
            await stream.news.wait()
        return self._connection.read(stream)

    async def aclose(self) -> None:
        self._connection.forget(self._stream_id)
