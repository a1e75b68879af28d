"""What all routes of one process share."""

from __future__ import annotations

from dataclasses import dataclass

from serving.metrics import Metrics
from serving.models import Models
from serving.pusher import Pusher
from serving.served_log import ServedLog
from serving.settings import Settings
from serving.store import Store


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running server. Without a `pusher` it takes no rows."""

    settings: Settings
    metrics: Metrics
    store: Store
    models: Models
    served_log: ServedLog
    pusher: Pusher | None = None
