"""The counters of one model version, with their labels bound once: a look-up for each request would cost more.

Held by tests/server/predict/test_micro_batcher.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import Counter

from skewless.contract.admission import FeatureStatus
from skewless.contract.storage.served_row import ServedBatch
from skewless.server.metrics.counters import ServerMetrics

_NAMES = {int(status): status.name for status in FeatureStatus}


class VersionCounters:
    """Counts a version's responses in one role, a batch at a time. `views` is the order of the statuses.

    A request that two versions answer counts for both. Of a shadow only rows count: nobody gets its responses.
    """

    def __init__(
        self, metrics: ServerMetrics, model: str, version: str, views: tuple[str, ...], *, role: str = "champion"
    ) -> None:
        self._metrics, self._model, self._views = metrics, model, views
        self._answered = metrics.requests.labels(model, "200")
        self._seconds = metrics.request_seconds.labels(model, version, role)
        self._failed = metrics.failures.labels(model, version, role)
        self._rows = metrics.rows.labels(model, version, role)
        self._is_shadow = role == "shadow"
        # A status is labelled when it first occurs, so those that never do are not exported.
        self._statuses: dict[tuple[int, int], Counter] = {}

    def answered(self, served: ServedBatch, seconds: Sequence[float], *, degraded: bool) -> None:
        """Count answered requests by their seconds. `degraded`: the store failed, and defaults were used."""
        self._rows.inc(len(served.scores))
        if self._is_shadow:
            return
        self._answered.inc(len(seconds))
        for duration in seconds:
            self._seconds.observe(duration)
        if degraded:
            self._metrics.store_failures.inc(len(seconds))
        for place, code, count in _counted(served.statuses, len(self._views)):
            self._status((place, code)).inc(count)

    def failed(self, requests: int) -> None:
        """Count requests that this version failed."""
        self._failed.inc(requests)

    def _status(self, key: tuple[int, int]) -> Counter:
        counter = self._statuses.get(key)
        if counter is None:
            place, status = key
            counter = self._metrics.statuses.labels(self._model, self._views[place], _NAMES[status])
            self._statuses[key] = counter
        return counter


def _counted(statuses: bytes, views: int) -> Iterator[tuple[int, int, int]]:
    """How often each view (by index) has each status: (view, status, count)."""
    for place in range(views):
        of_view = statuses[place::views]
        for code in set(of_view):
            yield place, code, of_view.count(code)
