"""The tally of one model version: its counters with their labels bound once, since finding them costs more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter

from serving.contract.freshness import Status
from serving.contract.record import Used
from serving.metrics import Metrics

_NAMES = {int(status): status.name for status in Status}


class Tally:
    """Counts a version's answers, a burst at a time. `views` is the order of the statuses."""

    def __init__(self, metrics: Metrics, model: str, version: str, views: tuple[str, ...]) -> None:
        self._metrics, self._model, self._views = metrics, model, views
        self._answered = metrics.requests.labels(model, "200")
        self._seconds = metrics.request_seconds.labels(model)
        self._rows = metrics.rows.labels(model, version)
        # A status is labelled when it first occurs; those that never do are not told.
        self._statuses: dict[tuple[int, int], Counter] = {}

    def answered(self, used: Used, seconds: Sequence[float], *, unread: bool) -> None:
        """Count requests that took some seconds each; `unread`: the store failed them, and the defaults were used."""
        self._answered.inc(len(seconds))
        for took in seconds:
            self._seconds.observe(took)
        self._rows.inc(len(used.scores))
        if unread:
            self._metrics.store_failures.inc(len(seconds))
        if self._views:
            statuses = np.frombuffer(used.statuses, np.uint8).reshape(-1, len(self._views))
            for place, code, count in _counted(statuses):
                self._status((place, code)).inc(count)

    def _status(self, key: tuple[int, int]) -> Counter:
        counter = self._statuses.get(key)
        if counter is None:
            place, status = key
            counter = self._metrics.statuses.labels(self._model, self._views[place], _NAMES[status])
            self._statuses[key] = counter
        return counter


def _counted(statuses: NDArray[np.uint8]) -> Iterator[tuple[int, int, int]]:
    """How often each view (by place) has each status."""
    views = statuses.shape[1]
    found = np.bincount((statuses + np.arange(views) * len(Status)).reshape(-1), minlength=views * len(Status))
    for number in np.flatnonzero(found).tolist():
        yield number // len(Status), number % len(Status), int(found[number])
