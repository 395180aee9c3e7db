"""The messages of the API, for `Client.queues` and `Client.admin`."""

from ._generated.bbq.v1.admin_service_pb import *  # noqa: F403
from ._generated.bbq.v1.queue_pb import *  # noqa: F403
from ._generated.bbq.v1.queue_service_pb import *  # noqa: F403
from ._generated.bbq.v1.message_pb import *  # noqa: F403  # isort: skip
