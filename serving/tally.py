"""The tally of one model version: its counters with their labels bound once, since finding them costs more."""

from __future__ import annotations

import asyncio

import numpy as np
from prometheus_client import Counter

from serving.contract.freshness import Status
from serving.contract.record import Used
from serving.metrics import Metrics

_NAMES = {int(status): status.name for status in Status}


class Tally:
    """Counts a version's answers. `views` is the order of the statuses."""

    def __init__(self, metrics: Metrics, model: str, version: str, views: tuple[str, ...]) -> None:
        self._metrics, self._model, self._views = metrics, model, views
        self._answered = metrics.requests.labels(model, "200")
        self._seconds = metrics.request_seconds.labels(model)
        self._rows = metrics.rows.labels(model, version)
        self._waiting: list[bytes] = []
        # A status is labelled when it first occurs; those that never do are not told.
        self._statuses: dict[tuple[int, int], Counter] = {}

    def answered(self, used: Used, seconds: float) -> None:
        """Count an answer."""
        self._answered.inc()
        self._seconds.observe(seconds)
        if not self._views:
            self._rows.inc(len(used.scores))
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._count)
        self._waiting.append(used.statuses)

    def _count(self) -> None:
        """Count rows and statuses of all answers since the last tick at once."""
        waiting, self._waiting = b"".join(self._waiting), []
        views = len(self._views)
        statuses = np.frombuffer(waiting, np.uint8).reshape(-1, views)
        self._rows.inc(len(statuses))
        for place in range(views):
            for status, count in enumerate(np.bincount(statuses[:, place]).tolist()):
                if count:
                    self._status((place, status)).inc(count)

    def _status(self, key: tuple[int, int]) -> Counter:
        counter = self._statuses.get(key)
        if counter is None:
            place, status = key
            counter = self._metrics.statuses.labels(self._model, self._views[place], _NAMES[status])
            self._statuses[key] = counter
        return counter
