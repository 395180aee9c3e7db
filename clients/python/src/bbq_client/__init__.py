"""The Python client of BBQ, a durable message queue: gRPC over HTTP/3, and over HTTP/2 where UDP does not get through."""

from . import proto
from .client import DEADLINE, Client
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .message import Delivery, Message, Nack, Published
from .profile import Profile
from .publisher import Publisher
from .subscription import Subscription
from .sync import SyncClient, SyncDelivery, SyncPublisher, SyncSubscription

__all__ = [
    "DEADLINE",
    "Client",
    "Delivery",
    "Message",
    "Nack",
    "Profile",
    "Published",
    "Publisher",
    "Subscription",
    "SyncClient",
    "SyncDelivery",
    "SyncPublisher",
    "SyncSubscription",
    "proto",
    *_errors,
]
