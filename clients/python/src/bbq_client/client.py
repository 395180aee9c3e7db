"""The client: one connection, a deadline, and every call."""

from __future__ import annotations

import asyncio
import copy
import math
import os
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from connectrpc.protocol import ProtocolType
from protobuf import Oneof
from pyqwest import Client as HttpClient

from ._batcher import Batcher
from ._calls import Calls
from ._generated.bbq.v1.admin_service_connect import AdminServiceClient
from ._generated.bbq.v1 import message_pb
from ._generated.bbq.v1.message_pb import ReceiptFailure
from ._generated.bbq.v1.queue_service_connect import QueueServiceClient
from ._generated.bbq.v1.queue_service_pb import (
    AckRequest,
    ExtendRequest,
    NackRequest,
    PublishRequest,
    PublishResult,
    ReceiveRequest,
    RoutedMessage,
    SubscribeRequest,
)
from ._wire import Wire
from .errors import BbqError, DeadlineExceeded, Internal, ReceiptError, failure_word
from .message import Delivery, Message, Nack, Published, duration
from .profile import Profile
from .publisher import Publisher
from .subscription import Subscription

if TYPE_CHECKING:
    from types import TracebackType

# How long a call may take unless the client is told otherwise, in seconds.
DEADLINE = 30.0
# The most receipts of one call.
RECEIPTS_MAX = 10_000
# How long `close` waits for what publishers took, whose loss loses messages, and for settlements, whose loss only brings
# their messages again; in seconds.
CLOSE_PUBLISHERS = 10.0
CLOSE_SETTLEMENTS = 1.0


class Client:
    """A client of one server; made by `await Client.connect()`.

    A call that failed because the server was not reached, or said that it did nothing, is repeated within its deadline
    with backoff and jitter; those that do their work only once however often they are made (all but publishing, receiving
    and transactions) also after a lost connection.

    `queues` and `admin` are the generated clients, for everything that has no method here: the same token, deadline,
    repeats and errors.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._wire = Wire(profile)
        self._http = HttpClient(self._wire)
        self._consumer_name = ""
        # Shared, like the wire, by all clients of the connection.
        self._settlers: dict[str, Batcher[tuple[str, Nack | None], None]] = {}
        self._subscriptions: set[Subscription] = set()
        self._publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
        self._use_deadline(DEADLINE)

    def _use_deadline(self, seconds: float) -> None:
        self.deadline = seconds
        common = {
            "protocol": ProtocolType.GRPC,
            "http_client": self._http,
            "interceptors": [Calls(self._wire, self._profile.token)],
            "send_compression": None,
            "accept_compression": (),
        }
        timeout_ms = max(math.ceil(seconds * 1000), 1)
        self.queues = QueueServiceClient(self._profile.address, timeout_ms=timeout_ms, **common)  # type: ignore[arg-type]
        self.admin = AdminServiceClient(self._profile.address, timeout_ms=timeout_ms, **common)  # type: ignore[arg-type]
        # A stream lasts as long as it is wanted.
        self._streams = QueueServiceClient(self._profile.address, **common)  # type: ignore[arg-type]

    @classmethod
    async def connect(cls, profile: Profile | str | os.PathLike[str] | None = None) -> Client:
        """Connects to the server of a profile, or of a profile's file; without one to that of `Profile.find()`.

        Raises ProfileError, ConnectFailed or CertificateError. The connection is made again whenever it is lost.
        """
        client = cls(profile if isinstance(profile, Profile) else Profile.find(profile))
        try:
            await client._wire.connect()
        except BaseException:
            await client._wire.aclose()
            raise
        return client

    def with_deadline(self, seconds: float) -> Client:
        """A client on the same connection whose calls may take so long."""
        client = copy.copy(self)
        client._use_deadline(seconds)
        return client

    def with_consumer_name(self, name: str) -> Client:
        """A client on the same connection whose consumers `bbq leases` shows under this name."""
        client = copy.copy(self)
        client._consumer_name = name
        return client

    async def close(self) -> None:
        """Waits for what publishers took, for 10 s at most, and for settlements on their way, for 1 s; then ends all
        subscriptions, calls and the connection of this client and of those that were made of it. The server gives back at once
        what was held. Calls after it raise Closed.

        Raises the first error of a message that was still on its way from a publisher.
        """
        publishing = [asyncio.ensure_future(publisher._drain()) for publisher in self._publishers]
        subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription._stop()
        settling = [asyncio.ensure_future(settler.flushed()) for settler in self._settlers.values()]
        if publishing:
            await asyncio.wait(publishing, timeout=CLOSE_PUBLISHERS)
        if settling:
            await asyncio.wait(settling, timeout=CLOSE_SETTLEMENTS)
        await asyncio.gather(*(subscription._cancel() for subscription in subscriptions))
        await self._wire.aclose()
        # What was still on its way fails now.
        outcomes = await asyncio.gather(*publishing, *settling, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def publish(self, queue: str, message: Message | bytes | str) -> int:
        """Publishes one message and returns its number in the queue once it is confirmed. Not safe to repeat, unless it has
        a deduplication id and the queue a window."""
        return (await self.publish_all(queue, [message]))[0].sequence

    async def publish_all(self, queue: str, messages: Sequence[Message | bytes | str]) -> list[Published]:
        """Publishes messages, all or none, in order."""
        return await self._publish_to_queue(queue, [Message.of(message).to_wire() for message in messages])

    async def publish_to_topic(
        self, topic: str, routing_key: str, messages: Sequence[Message | bytes | str]
    ) -> list[list[RoutedMessage]]:
        """Publishes messages to a topic, all or none: for each the queues that took it, with its number in each."""
        request = PublishRequest(target=Oneof[Literal["topic"], str]("topic", topic), routing_key=routing_key)
        wire = [Message.of(message).to_wire() for message in messages]
        return [list(result.routed) for result in await self._publish(request, wire)]

    async def _publish_to_queue(self, queue: str, messages: Sequence[message_pb.Message]) -> list[Published]:
        request = PublishRequest(target=Oneof[Literal["queue"], str]("queue", queue))
        return [Published(result.sequence, result.duplicate) for result in await self._publish(request, messages)]

    async def _publish(
        self, request: PublishRequest, messages: Sequence[message_pb.Message]
    ) -> list[PublishResult]:
        if not messages:
            return []
        request.messages.extend(messages)
        results = (await self.queues.publish(request)).results
        if len(results) != len(messages):
            raise Internal("the server's answer to a publish does not have one result for each message")
        return results

    def publisher(
        self,
        queue: str,
        *,
        call_messages_max: int = 1_000,
        call_bytes_max: int = 1024 * 1024,
        calls_in_flight: int = 1,
        unconfirmed_max: int = 10_000,
    ) -> Publisher:
        """A publisher that batches by itself; `call_bytes_max` counts encoded messages, and a larger one goes alone. More than one of
        `calls_in_flight` hides the round trip, and gives up the order between calls."""
        publisher = Publisher(self, queue, call_messages_max, call_bytes_max, calls_in_flight, unconfirmed_max)
        self._publishers.add(publisher)
        return publisher

    def subscribe(
        self,
        queue: str,
        *,
        max_in_flight: int = 0,
        max_in_flight_bytes: int = 0,
        lease: float | None = None,
        consumer_name: str = "",
        auto_extend: bool = True,
    ) -> Subscription:
        """Subscribes to a queue: deliveries as an async iterator. Zeros mean the server's defaults."""
        request = SubscribeRequest(
            queue=queue,
            max_in_flight=max_in_flight,
            max_in_flight_bytes=max_in_flight_bytes,
            lease_duration=duration(lease),
            consumer_name=consumer_name or self._consumer_name,
        )
        subscription = Subscription(self, request, lease, auto_extend)
        self._subscriptions.add(subscription)
        return subscription

    async def receive(
        self, queue: str, *, max_messages: int = 1, wait: float = 0, lease: float | None = None
    ) -> list[Delivery]:
        """Waits up to `wait` seconds for messages and returns at most `max_messages`, none if none came. Their leases are
        not extended by themselves."""
        request = ReceiveRequest(
            queue=queue,
            max_messages=max_messages,
            wait=duration(wait),
            lease_duration=duration(lease),
            consumer_name=self._consumer_name,
        )
        timeout_ms = math.ceil((self.deadline + wait) * 1000)
        response = await self.queues.receive(request, timeout_ms=timeout_ms)
        return [Delivery._of(wire, queue, self, lambda receipt: None) for wire in response.deliveries]

    async def ack(self, queue: str, receipts: Sequence[str]) -> list[ReceiptError]:
        """Settles messages for good; returns the receipts that settled nothing. Safe to repeat."""
        failures: list[ReceiptFailure] = []
        for part in _parts(receipts):
            failures += (await self.queues.ack(AckRequest(queue=queue, receipts=part))).failures
        return _failed(failures)

    async def nack(self, queue: str, receipts: Sequence[str], how: Nack = Nack()) -> list[ReceiptError]:
        """Gives messages back; returns the receipts that gave nothing back. Safe to repeat."""
        failures: list[ReceiptFailure] = []
        for part in _parts(receipts):
            request = NackRequest(
                queue=queue,
                receipts=part,
                delay=duration(how.delay),
                dead_letter=how.dead_letter,
                reason=how.reason,
            )
            failures += (await self.queues.nack(request)).failures
        return _failed(failures)

    async def extend(self, queue: str, receipts: Sequence[str], lease: float | None = None) -> list[ReceiptError]:
        """Moves the end of leases to `lease` seconds from now, or to what the queue says; returns the receipts that
        extended nothing. Safe to repeat."""
        failures: list[ReceiptFailure] = []
        for part in _parts(receipts):
            request = ExtendRequest(queue=queue, receipts=part, lease_duration=duration(lease))
            failures += (await self.queues.extend(request)).failures
        return _failed(failures)

    def _settle(self, queue: str, receipt: str, nack: Nack | None) -> asyncio.Future[None]:
        """One settlement; those of a moment share a call, which is made whether or not anyone waits."""
        settler = self._settlers.get(queue)
        if settler is None:
            # It outlives the client that needs it first, whose deadline may be a short one.
            shared = self.with_deadline(DEADLINE)
            settler = self._settlers[queue] = Batcher(
                lambda batch: shared._settle_all(queue, batch), items_max=RECEIPTS_MAX
            )
        return settler.put((receipt, nack))

    async def _within_deadline(self, settlement: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(settlement), self.deadline)
        except TimeoutError:
            raise DeadlineExceeded("the settlement has no answer yet; it goes on") from None

    async def _settled(self, queue: str) -> None:
        if settler := self._settlers.get(queue):
            await settler.flushed()

    async def _settle_all(
        self, queue: str, batch: list[tuple[str, Nack | None]]
    ) -> list[BaseException | None]:
        by_verdict: dict[Nack | None, list[str]] = {}
        for receipt, verdict in batch:
            by_verdict.setdefault(verdict, []).append(receipt)

        async def settle(verdict: Nack | None, receipts: list[str]) -> dict[str, BbqError]:
            try:
                failed = await (
                    self.ack(queue, receipts) if verdict is None else self.nack(queue, receipts, verdict)
                )
            except BbqError as error:
                return dict.fromkeys(receipts, error)
            return {error.receipt: error for error in failed}

        outcomes = await asyncio.gather(*(settle(*group) for group in by_verdict.items()))
        failed = dict(zip(by_verdict, outcomes, strict=True))
        return [failed[verdict].get(receipt) for receipt, verdict in batch]


def _parts(receipts: Sequence[str]) -> list[list[str]]:
    return [list(receipts[at : at + RECEIPTS_MAX]) for at in range(0, len(receipts), RECEIPTS_MAX)]


def _failed(failures: Sequence[ReceiptFailure]) -> list[ReceiptError]:
    return [ReceiptError(failure.receipt, failure_word(failure.reason)) for failure in failures]
