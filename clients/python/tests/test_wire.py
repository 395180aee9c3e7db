"""The wire: what is connected to, over what, and what is said where that fails."""

from __future__ import annotations

import asyncio
import datetime
import errno
import ipaddress
import logging
import ssl
import tempfile
from pathlib import Path
from typing import Any
from unittest import IsolatedAsyncioTestCase, TestCase

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent
from aioquic.quic.stream import QuicStream
from bbq_client import CertificateError, Client, ConnectFailed, Profile, ProfileError
from bbq_client._http3 import STREAM_WINDOW, Http3Transport
from bbq_client._wire import Wire
from bbq_client.errors import unreachable
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pyqwest import Request
from world import BOUND, Case


def certificate(common_name: str) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return signed.public_bytes(pem).decode(), private.decode()


async def serve_both(tls: ssl.SSLContext, quic: QuicConfiguration) -> tuple[asyncio.Server, QuicServer, int]:
    """Servers over TCP and over UDP on the same port, and its number."""
    while True:
        over_tcp = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=tls)
        port = over_tcp.sockets[0].getsockname()[1]
        try:
            return over_tcp, await serve("127.0.0.1", port, configuration=quic), port
        except OSError as error:
            over_tcp.close()
            # The same port may be somebody's over UDP.
            if error.errno != errno.EADDRINUSE:
                raise


class Profiles(TestCase):
    def test_nothing_goes_in_the_clear_but_on_loopback(self) -> None:
        for url in ("http://example.com", "http://10.0.0.1:6789", "http://127.0.0.1.example.com"):
            with self.assertRaisesRegex(ProfileError, "in the clear"):
                Profile(url, token="secret")
        for url in ("http://127.0.0.1:1", "http://localhost", "http://[::1]:1", "http://127.1.2.3"):
            Profile(url, token="secret")


class Connecting(IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        # What the servers of these tests say about the clients that leave.
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    async def test_no_server_fails_the_connecting(self) -> None:
        for transport in ("http2", "auto"):
            with self.assertRaisesRegex(ConnectFailed, "refused.*is the server running"):
                await asyncio.wait_for(Client.connect(Profile("https://127.0.0.1:1", transport=transport)), BOUND)

    async def test_a_certificate_of_somebody_else_is_final(self) -> None:
        (theirs, key), (ours, _) = certificate("theirs"), certificate("ours")
        with tempfile.TemporaryDirectory() as directory:
            chain, private = Path(directory, "chain.pem"), Path(directory, "key.pem")
            chain.write_text(theirs)
            private.write_text(key)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(chain, private)
            tls.set_alpn_protocols(["h2"])
            quic = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
            quic.load_cert_chain(chain, private)
            over_tcp, over_udp, port = await serve_both(tls, quic)
            try:
                for transport in ("http2", "http3", "auto"):
                    with self.subTest(transport):
                        profile = Profile(f"https://127.0.0.1:{port}", ca=ours, transport=transport)
                        with self.assertRaisesRegex(CertificateError, "the profile's `ca`"):
                            await asyncio.wait_for(Client.connect(profile), BOUND)
                        subscription = Client(profile).subscribe("q")
                        with self.assertRaises(CertificateError):
                            await asyncio.wait_for(anext(subscription), BOUND)
                        await subscription.close()
            finally:
                over_udp.close()
                over_tcp.close()


class Endless(QuicConnectionProtocol):
    """A server that answers every request with more than anybody reads."""

    BYTES = 4 * STREAM_WINDOW
    made: list[Endless] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.h3 = H3Connection(self._quic)
        self.answered: QuicStream | None = None
        self.made.append(self)

    def quic_event_received(self, event: QuicEvent) -> None:
        for of_h3 in self.h3.handle_event(event):
            if isinstance(of_h3, HeadersReceived):
                self.h3.send_headers(of_h3.stream_id, [(b":status", b"200")])
                self.h3.send_data(of_h3.stream_id, bytes(self.BYTES), end_stream=True)
                self.answered = self._quic._streams[of_h3.stream_id]
                self.transmit()

    def is_blocked(self) -> bool:
        stream = self.answered
        return stream is not None and stream.sender.highest_offset >= stream.max_stream_data_remote

    def has_sent_all(self) -> bool:
        return self.answered is not None and self.answered.sender.highest_offset > self.BYTES


class Reading(IsolatedAsyncioTestCase):
    async def test_what_is_not_read_over_http3_is_not_sent(self) -> None:
        chain, key = certificate("theirs")
        with tempfile.TemporaryDirectory() as directory:
            files = Path(directory, "chain.pem"), Path(directory, "key.pem")
            for file, text in zip(files, (chain, key), strict=True):
                file.write_text(text)
            configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
            configuration.load_cert_chain(*files)
        over_udp = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Endless)
        assert over_udp._transport is not None
        port = over_udp._transport.get_extra_info("sockname")[1]
        transport = Http3Transport("127.0.0.1", port, ca=chain.encode(), certificate=None, key=None)
        try:
            async with asyncio.timeout(BOUND), await transport.execute(
                Request("GET", f"https://127.0.0.1:{port}/")
            ) as response:
                (server,), (stream,) = Endless.made, (await transport.connect()).streams.values()
                while not (server.is_blocked() or server.has_sent_all()):
                    await asyncio.sleep(0.001)
                self.assertFalse(server.has_sent_all())
                self.assertLessEqual(stream.unread, STREAM_WINDOW)
                read = 0
                async for chunk in response.content:
                    read += len(chunk)
                    self.assertLessEqual(stream.unread, STREAM_WINDOW)
                self.assertEqual(read, Endless.BYTES)
        finally:
            await transport.aclose()
            over_udp.close()


class Opening(Case):
    async def test_a_subscription_that_never_had_a_connection_fails(self) -> None:
        async def refused() -> str:
            raise unreachable("https://127.0.0.1:1", "connection refused")

        self.client._wire._connect_http2 = refused  # type: ignore[method-assign]
        subscription = self.client.subscribe("q")
        with self.assertRaises(ConnectFailed):
            await asyncio.wait_for(anext(subscription), BOUND)
        await subscription.close()

    async def test_a_subscription_that_had_one_goes_on(self) -> None:
        self.server.deliver("a")
        async with self.client.subscribe("q", auto_extend=False) as subscription:
            await anext(subscription)
            wire = self.client._wire
            connect, tries = wire._connect_http2, 0

            async def refused_twice() -> str:
                nonlocal tries
                tries += 1
                if tries <= 2:
                    raise unreachable("https://127.0.0.1:1", "connection refused")
                return await connect()

            wire._connect_http2 = refused_twice  # type: ignore[method-assign]
            wire._chosen = None
            self.server.outgoing.put_nowait(None)
            self.server.deliver("b")
            delivery = await asyncio.wait_for(anext(subscription), BOUND)
            self.assertEqual((delivery.receipt, tries), ("b", 3))

    async def test_a_certificate_error_is_not_tried_again(self) -> None:
        tries = 0

        async def refused() -> str:
            nonlocal tries
            tries += 1
            raise unreachable("https://127.0.0.1:1", "invalid peer certificate: UnknownIssuer")

        self.client._wire._connect_http2 = refused  # type: ignore[method-assign]
        with self.assertRaises(CertificateError) as raised:
            await self.client.publish("q", "x")
        self.assertEqual(tries, 1)
        self.assertTrue(raised.exception.is_unprocessed)


class Choosing(IsolatedAsyncioTestCase):
    """Which HTTP `auto` chooses, and for how long."""

    def setUp(self) -> None:
        self.works = {"http3": True, "http2": True}
        self.wire = Wire(Profile("https://127.0.0.1:1"))

        async def connect(protocol: str) -> str:
            if not self.works[protocol]:
                raise unreachable("127.0.0.1:1", f"no answer over {protocol}")
            return protocol

        self.wire._connect_http3 = lambda: connect("http3")  # type: ignore[method-assign]
        self.wire._connect_http2 = lambda: connect("http2")  # type: ignore[method-assign]

    async def connected(self) -> str:
        return await asyncio.wait_for(self.wire.connect(), BOUND)

    def lose(self) -> None:
        self.wire._chosen_at = -10.0
        self.wire.lost()

    async def test_http3_is_preferred_and_http2_taken_while_it_fails(self) -> None:
        self.assertEqual(await self.connected(), "http3")
        self.works["http3"] = False
        self.assertEqual(await self.connected(), "http2")
        # The choice stands as long as its connection does.
        self.works["http3"] = True
        self.assertEqual(await self.connected(), "http2")
        self.lose()
        self.assertEqual(await self.connected(), "http3")

    async def test_failures_choose_nothing(self) -> None:
        self.works = {"http3": False, "http2": False}
        with self.assertRaisesRegex(ConnectFailed, "http2"):
            await self.connected()
        self.works["http3"] = True
        self.assertEqual(await self.connected(), "http3")

    async def test_a_slow_http3_may_still_win_where_http2_fails(self) -> None:
        self.works["http2"] = False
        start = asyncio.Event()

        async def slow() -> str:
            await start.wait()
            return "http3"

        async def refused() -> str:
            start.set()
            raise unreachable("127.0.0.1:1", "refused")

        self.wire._connect_http3, self.wire._connect_http2 = slow, refused  # type: ignore[method-assign]
        self.assertEqual(await self.connected(), "http3")

    async def test_a_caller_that_leaves_does_not_end_the_attempt_of_others(self) -> None:
        go_on, tries = asyncio.Event(), 0

        async def slow() -> str:
            nonlocal tries
            tries += 1
            await go_on.wait()
            return "http3"

        self.wire._connect_http3, self.wire._transport = slow, "http3"  # type: ignore[method-assign]
        hasty, patient = asyncio.create_task(self.connected()), asyncio.create_task(self.connected())
        await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.wait([hasty])
        go_on.set()
        self.assertEqual((await patient, tries), ("http3", 1))

    async def test_the_calls_that_a_lost_connection_fails_do_not_undo_the_next_choice(self) -> None:
        self.works["http3"] = False
        await self.connected()
        self.wire.lost()
        self.assertEqual(self.wire._chosen, "http2")
