"""The open connections of one process: how many there may be, and how long each may take.

Held by tests/server/api/test_connections.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from skewless.server.metrics.counters import ServerMetrics
from skewless.server.settings import ServerSettings

SPARE = 50
"""Connections beyond the limit that health checks and metrics can still use; further ones are closed at once."""
_SWEEP_S = 0.5


class OpenConnection(Protocol):
    """A connection whose times are looked at."""

    def expire(self, now: float) -> None:
        """End it if it takes too long. `now` is the event loop's time."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bytes of a request's head, seconds and numbers; see `ServerSettings` for each."""

    connections: int
    head_bytes: int
    receive_s: float
    send_s: float
    idle_s: float

    @classmethod
    def of(cls, settings: ServerSettings) -> ConnectionLimits:
        return cls(
            settings.max_connections,
            settings.max_head_bytes,
            settings.receive_timeout_s,
            settings.send_timeout_s,
            settings.idle_timeout_s,
        )


class Connections:
    """The open connections, for `metrics` too. Each is added when it is made and removed when it is lost."""

    def __init__(self, limits: ConnectionLimits, metrics: ServerMetrics) -> None:
        self.limits = limits
        self.direct, self.through_asgi = (metrics.http_requests.labels(path) for path in ("direct", "asgi"))
        self._number = metrics.connections
        self.open: set[OpenConnection] = set()

    @property
    def crowded(self) -> bool:
        """Whether there are more than the limit."""
        return len(self.open) > self.limits.connections

    @property
    def full(self) -> bool:
        """Whether there are more than the limit and its spare."""
        return len(self.open) > self.limits.connections + SPARE

    async def keep_moving(self) -> None:
        """End connections that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._number.set(len(self.open))
            now = loop.time()
            for connection in list(self.open):
                connection.expire(now)
