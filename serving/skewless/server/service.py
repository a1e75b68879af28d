"""The parts of the server that all routes of one process share."""

from __future__ import annotations

from dataclasses import dataclass

from skewless.server.metrics.counters import ServerMetrics
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.push.receiver import PushReceiver
from skewless.server.rollout.live_models import LiveModels
from skewless.server.served_log import ServedLogWriter
from skewless.server.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class PredictService:
    """The parts of a running server. Without a `pusher` it takes no pushes."""

    settings: ServerSettings
    metrics: ServerMetrics
    store: OnlineStoreReader
    models: LiveModels
    served_log: ServedLogWriter
    pusher: PushReceiver | None = None
