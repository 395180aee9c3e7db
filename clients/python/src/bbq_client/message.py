"""Messages, as a producer hands them over and a consumer gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from protobuf.wkt import Duration

from ._generated.bbq.v1 import message_pb
from .errors import BbqError, InvalidArgument, ReceiptError

if TYPE_CHECKING:
    from .client import Client


def duration(seconds: float | None) -> Duration | None:
    """A duration for the wire."""
    return None if seconds is None else Duration.from_seconds(seconds)


@dataclass
class Message:
    """A body and what goes with it; times are seconds. Limits are the server's to check."""

    body: bytes
    attributes: dict[str, str] = field(default_factory=dict)
    ordering_key: str = ""
    priority: int = 0
    delay: float | None = None
    time_to_live: float | None = None
    deduplication_id: str = ""

    @classmethod
    def of(cls, given: Message | bytes | str) -> Message:
        """A message of its own, or one with this body and nothing else."""
        if isinstance(given, Message):
            return given
        return cls(given.encode() if isinstance(given, str) else given)

    def to_wire(self) -> message_pb.Message:
        """The message as it is sent. Raises InvalidArgument if it has what no message can have."""
        try:
            return message_pb.Message(
                body=self.body,
                attributes=dict(self.attributes),
                ordering_key=self.ordering_key,
                priority=self.priority,
                delay=duration(self.delay),
                time_to_live=duration(self.time_to_live),
                deduplication_id=self.deduplication_id,
            )
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidArgument(f"the message cannot be encoded: {error}", unprocessed=True) from error


def encoded_size(message: message_pb.Message) -> int:
    """The bytes that it takes in a request, or a few more."""
    texts = [message.ordering_key, message.deduplication_id]
    for attribute in message.attributes.items():
        texts += attribute
    # A text may take a tag and a length of up to 4 bytes, an attribute those of its own; 64 is for all else.
    return len(message.body) + sum(len(text.encode("utf-8", "replace")) + 8 for text in texts) + 64


@dataclass(frozen=True)
class Published:
    """Where a message went: its number in its queue, and whether one with its deduplication id was there before."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True)
class Nack:
    """How to give messages back: after `delay` seconds or the queue's backoff, or to the dead-letter queue."""

    delay: float | None = None
    dead_letter: bool = False
    reason: str = ""


@dataclass(eq=False)
class Delivery:
    """A message, leased to this consumer until it is settled or the lease ends.

    A subscription extends the lease until the delivery is settled, unless that was switched off. A delivery of an
    at-most-once queue has no receipt: it is settled already.
    """

    queue: str
    body: bytes
    attributes: dict[str, str]
    sequence: int
    attempt: int
    receipt: str
    ordering_key: str
    priority: int
    deduplication_id: str
    published_at: datetime | None
    lease_expires_at: datetime | None
    _client: Client = field(repr=False)
    _released: Callable[[str], None] = field(repr=False)
    _verdict: Nack | None = field(default=None, repr=False)
    _settlement: asyncio.Future[None] | None = field(default=None, repr=False)

    @property
    def settled(self) -> bool:
        """Whether it was acked or nacked here."""
        return self._settlement is not None

    def ack(self) -> Coroutine[Any, Any, None]:
        """Settles the message for good. Raises ReceiptError if somebody else holds it by now.

        The first settlement of a delivery counts: any further one, of either kind, has the outcome of the first. The same one
        may be tried again if no answer came.
        """
        return self._settle(None)

    def nack(
        self, *, delay: float | None = None, dead_letter: bool = False, reason: str = ""
    ) -> Coroutine[Any, Any, None]:
        """Gives the message back for another attempt, or up. Raises ReceiptError if the lease has ended. See `ack`."""
        return self._settle(Nack(delay, dead_letter, reason))

    async def extend(self, seconds: float) -> None:
        """Moves the end of the lease to so many seconds from now. Raises ReceiptError if the lease has ended."""
        if self.receipt:
            for failed in await self._client.extend(self.queue, [self.receipt], seconds):
                raise failed

    async def _settle(self, nack: Nack | None) -> None:
        if not self.receipt:
            return
        settlement = self._settlement
        if settlement is None or (nack == self._verdict and _unanswered(settlement)):
            self._verdict = nack
            settlement = self._settlement = self._client._settle(self.queue, self.receipt, nack)
            # The lease is kept until the settlement is answered.
            settlement.add_done_callback(lambda _: self._released(self.receipt))
        await self._client._within_deadline(settlement)

    @classmethod
    def _of(
        cls, wire: message_pb.Delivery, queue: str, client: Client, released: Callable[[str], None]
    ) -> Delivery:
        message = wire.message or message_pb.Message()
        return cls(
            queue=queue,
            body=message.body,
            attributes=dict(message.attributes),
            sequence=wire.sequence,
            attempt=wire.attempt,
            receipt=wire.receipt,
            ordering_key=message.ordering_key,
            priority=message.priority,
            deduplication_id=message.deduplication_id,
            published_at=wire.published_at.to_datetime() if wire.published_at else None,
            lease_expires_at=wire.lease_expires_at.to_datetime() if wire.lease_expires_at else None,
            _client=client,
            _released=released,
        )


def _unanswered(settlement: asyncio.Future[None]) -> bool:
    """Whether it failed, and not because the server said so of its receipt."""
    if not settlement.done() or settlement.cancelled():
        return settlement.done()
    error = settlement.exception()
    return isinstance(error, BbqError) and not isinstance(error, ReceiptError)
