"""The tally of one model version: its counters with their labels bound once, since finding them costs more."""

from __future__ import annotations

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
        # A status is labelled when it first occurs; those that never do are not told.
        self._statuses: dict[tuple[int, int], Counter] = {}

    def answered(self, used: Used, seconds: float) -> None:
        """Count an answer."""
        self._answered.inc()
        self._seconds.observe(seconds)
        rows = len(used.scores)
        self._rows.inc(rows)
        if rows == 1:
            for key in enumerate(used.statuses):
                self._status(key).inc()
            return
        statuses = np.frombuffer(used.statuses, np.uint8).reshape(rows, len(self._views))
        for place in range(len(self._views)):
            counts = np.bincount(statuses[:, place]).tolist()
            for status, count in enumerate(counts):
                if count:
                    self._status((place, status)).inc(count)

    def _status(self, key: tuple[int, int]) -> Counter:
        counter = self._statuses.get(key)
        if counter is None:
            place, status = key
            counter = self._metrics.statuses.labels(self._model, self._views[place], _NAMES[status])
            self._statuses[key] = counter
        return counter
