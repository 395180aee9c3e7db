"""What can go wrong: one class for each code of gRPC, with what the server said.

It decides how a status, a lost connection or a refused receipt looks to the caller. It never retries.
"""

from __future__ import annotations

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from pyqwest import StreamError, StreamErrorCode

from ._generated.bbq.v1.message_pb import ReceiptFailureReason
from ._generated.google.rpc.error_details_pb import ErrorInfo, RetryInfo

__all__ = [
    "Aborted",
    "AlreadyExists",
    "BbqError",
    "Cancelled",
    "CertificateError",
    "Closed",
    "ConnectFailed",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ProfileError",
    "ReceiptError",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]


class BbqError(Exception):
    """Any failure of a call.

    `code` is gRPC's word for it, `message` one line for people, `reason` the server's word for programs, such as
    QUEUE_NOT_FOUND, and `retry_after` the seconds that the server asks to wait before another try.
    """

    code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        unprocessed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retry_after = retry_after
        self._unprocessed = unprocessed

    @property
    def is_unprocessed(self) -> bool:
        """Whether it is certain that the call had no effect, so that even a publish may be repeated."""
        return self._unprocessed


class NotFound(BbqError):
    """There is no such queue, topic or token."""

    code = "NOT_FOUND"


class AlreadyExists(BbqError):
    """It is there already, and differs."""

    code = "ALREADY_EXISTS"


class InvalidArgument(BbqError):
    """The request breaks a rule; the same request will fail again."""

    code = "INVALID_ARGUMENT"


class FailedPrecondition(BbqError):
    """The request is fine, but not in this state."""

    code = "FAILED_PRECONDITION"


class Aborted(BbqError):
    """The call ran into another one, or a transaction into a stale receipt."""

    code = "ABORTED"


class ResourceExhausted(BbqError):
    """A queue, a connection or the server is full, or a message too large."""

    code = "RESOURCE_EXHAUSTED"

    @property
    def is_unprocessed(self) -> bool:
        """A server that says when to come back has done nothing."""
        return self._unprocessed or self.retry_after is not None


class Unauthenticated(BbqError):
    """The token is missing, unknown or has ended."""

    code = "UNAUTHENTICATED"


class PermissionDenied(BbqError):
    """The token is known, but not allowed to do this here."""

    code = "PERMISSION_DENIED"


class Unavailable(BbqError):
    """The server is not reached or going away. Unless `is_unprocessed`, whether the call had an effect is not known."""

    code = "UNAVAILABLE"


class ConnectFailed(Unavailable):
    """No connection could be made, so that nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, unprocessed=True)


class CertificateError(BbqError):
    """The server's certificate is not one to trust, or the client's own is not accepted: trying again does not help."""

    code = "UNAVAILABLE"

    def __init__(self, message: str) -> None:
        super().__init__(message, unprocessed=True)


class DeadlineExceeded(BbqError):
    """No answer in time. Whether the call had an effect is not known."""

    code = "DEADLINE_EXCEEDED"


class Cancelled(BbqError):
    """The call was cancelled by the server or on the way to it."""

    code = "CANCELLED"


class Closed(Cancelled):
    """The client or the publisher was closed before the call, or while it was under way."""


class Unimplemented(BbqError):
    """The server does not know this call."""

    code = "UNIMPLEMENTED"


class Internal(BbqError):
    """The server, or the path to it, broke a promise."""

    code = "INTERNAL"


class ProfileError(BbqError):
    """The profile is missing or wrong."""

    code = "none"


class ReceiptError(BbqError):
    """A receipt settled, or extended, nothing; `why` is SUPERSEDED, EXPIRED, GONE or UNKNOWN."""

    code = "none"

    def __init__(self, receipt: str, why: str) -> None:
        super().__init__(f"receipt {receipt} changed nothing: {why}")
        self.receipt = receipt
        self.why = why


_CLASSES: dict[Code, type[BbqError]] = {
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.INVALID_ARGUMENT: InvalidArgument,
    Code.OUT_OF_RANGE: InvalidArgument,
    Code.FAILED_PRECONDITION: FailedPrecondition,
    Code.ABORTED: Aborted,
    Code.RESOURCE_EXHAUSTED: ResourceExhausted,
    Code.UNAUTHENTICATED: Unauthenticated,
    Code.PERMISSION_DENIED: PermissionDenied,
    Code.UNAVAILABLE: Unavailable,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.CANCELED: Cancelled,
    Code.UNIMPLEMENTED: Unimplemented,
}


def typed(error: ConnectError) -> BbqError:
    """The client's own error for one of connectrpc's."""
    cause = error.__cause__
    if isinstance(cause, BbqError):
        return cause
    if isinstance(cause, ValueError | TypeError | OverflowError) and error.code is Code.UNAVAILABLE:
        # It is the request that could not be encoded: what cannot be decoded has another code.
        return InvalidArgument(f"the request cannot be encoded: {cause}", unprocessed=True)
    reason: str | None = None
    retry_after: float | None = None
    for detail in error.details:
        if info := detail.value(ErrorInfo):
            reason = info.reason
        elif (retry := detail.value(RetryInfo)) and retry.retry_delay is not None:
            retry_after = retry.retry_delay.to_seconds()
    refused = isinstance(cause, StreamError) and cause.code == StreamErrorCode.REFUSED_STREAM
    kind = Unavailable if refused else _CLASSES.get(error.code, Internal)
    message = " ".join((error.message or error.code.value).split())
    return kind(message, reason=reason, retry_after=retry_after, unprocessed=refused)


def unreachable(address: str, why: str) -> BbqError:
    """What a failed attempt to connect is to the caller, with the way out."""
    lower = why.lower()
    said = f"cannot reach {address}: {why}"
    if "certificate" in lower:
        hint = "the profile's `ca` is not what signed this server's certificate, or the host is not in it"
        return CertificateError(f"{said}; {hint}")
    if "refused" in lower:
        said += "; is the server running? start it with `bbq serve`"
    elif "over udp" in lower:
        said += '; is UDP blocked? transport = "auto" in the profile falls back to HTTP/2'
    return ConnectFailed(said)


def failure_word(reason: ReceiptFailureReason) -> str:
    """A receipt's failure as docs/PROTOCOL.md calls it."""
    return reason.name.removeprefix("RECEIPT_FAILURE_REASON_").replace("UNSPECIFIED", "UNKNOWN")
