"""What all routes of one process share."""

from __future__ import annotations

from dataclasses import dataclass

from skewless.server.metrics.counters import Metrics
from skewless.server.online_store.reader import Store
from skewless.server.push.receiver import Pusher
from skewless.server.rollout.live_models import Models
from skewless.server.served_log import ServedLog
from skewless.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running server. Without a `pusher` it takes no rows."""

    settings: Settings
    metrics: Metrics
    store: Store
    models: Models
    served_log: ServedLog
    pusher: Pusher | None = None
