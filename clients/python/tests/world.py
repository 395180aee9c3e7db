"""A server that a test drives by hand, in its own process: what it was asked, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest import IsolatedAsyncioTestCase

from bbq_client import Client, Profile
from bbq_client._generated.bbq.v1.queue_service_connect import QueueService, QueueServiceASGIApplication
from bbq_client._generated.google.rpc.error_details_pb import ErrorInfo
from bbq_client.proto import (
    AckRequest,
    AckResponse,
    Delivery,
    ExtendRequest,
    ExtendResponse,
    Message,
    NackRequest,
    NackResponse,
    PublishRequest,
    PublishResponse,
    PublishResult,
    ReceiveRequest,
    ReceiveResponse,
    SubscribeRequest,
    SubscribeResponse,
    TransactRequest,
    TransactResponse,
)
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from pyqwest.testing import ASGITransport

# What must happen happens within this time, in seconds, on a busy machine too; nothing waits for it to pass.
BOUND = 120.0

# The name of a consumer that is sent nothing.
IDLE = "idle"


def refusal(code: Code, reason: str) -> ConnectError:
    return ConnectError(code, f"refused as {reason}", details=[ErrorInfo(reason=reason, domain="bbq.v1")])


class Server(QueueService):
    """Takes all that is asked, unless a test puts something else in its place."""

    def __init__(self) -> None:
        self.published: list[list[Message]] = []
        self.settled: list[tuple[str, str]] = []
        # What subscriptions get, until None ends one.
        self.outgoing: asyncio.Queue[SubscribeResponse | None] = asyncio.Queue()
        self.on_publish: Callable[[list[Message]], Awaitable[None]] | None = None
        self.on_settle: Callable[[], Awaitable[None]] | None = None

    async def publish(self, request: PublishRequest, ctx: Any) -> PublishResponse:
        messages = list(request.messages)
        if self.on_publish:
            await self.on_publish(messages)
        self.published.append(messages)
        return PublishResponse(results=[PublishResult(sequence=1) for _ in messages])

    async def subscribe(self, request: SubscribeRequest, ctx: Any) -> AsyncIterator[SubscribeResponse]:
        if request.consumer_name == IDLE:
            await asyncio.Future()
        while (response := await self.outgoing.get()) is not None:
            yield response

    async def receive(self, request: ReceiveRequest, ctx: Any) -> ReceiveResponse:
        return ReceiveResponse()

    async def ack(self, request: AckRequest, ctx: Any) -> AckResponse:
        await self._settle("ack", request.receipts)
        return AckResponse()

    async def nack(self, request: NackRequest, ctx: Any) -> NackResponse:
        await self._settle("nack", request.receipts)
        return NackResponse()

    async def extend(self, request: ExtendRequest, ctx: Any) -> ExtendResponse:
        await self._settle("extend", request.receipts)
        return ExtendResponse()

    async def transact(self, request: TransactRequest, ctx: Any) -> TransactResponse:
        return TransactResponse()

    async def _settle(self, how: str, receipts: list[str]) -> None:
        if self.on_settle:
            await self.on_settle()
        self.settled += [(how, receipt) for receipt in receipts]

    def deliver(self, *receipts: str) -> None:
        """One response; an empty receipt is a message of an at-most-once queue."""
        self.outgoing.put_nowait(
            SubscribeResponse(
                deliveries=[
                    Delivery(receipt=receipt, sequence=at, attempt=1, message=Message(body=b"x"))
                    for at, receipt in enumerate(receipts)
                ]
            )
        )


class InProcess(ASGITransport):
    async def aclose(self) -> None:
        pass


class Case(IsolatedAsyncioTestCase):
    """A test with a server and a client of it."""

    async def asyncSetUp(self) -> None:
        self.server = Server()
        self.client = Client(Profile("http://127.0.0.1:1"))
        self.client._wire._http2 = InProcess(QueueServiceASGIApplication(self.server))  # type: ignore[assignment]

    async def asyncTearDown(self) -> None:
        await asyncio.wait_for(self.client.close(), BOUND)

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND):
            while not fact():
                await asyncio.sleep(0.001)
