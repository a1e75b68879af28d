"""A shadow: a version that scores the champion's requests after they were answered; its scores are only logged.

It reads the store by itself, as it would as champion, so the audit replays its rows like any others. It never makes a
request wait: requests are queued once they were answered, and scored while the event loop is idle. A full queue drops
requests and counts them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter

import structlog

from skewless.server.metrics.counters import ServerMetrics
from skewless.server.predict.micro_batcher import PredictAnswer
from skewless.server.predict.request import PredictRequest
from skewless.server.predict.result_sink import ResultSink
from skewless.server.rollout.model_version import ServedVersion

_CAPACITY = 10_000
"""Rows that may wait."""
_AT_ONCE = 256
_PAUSE_S, _LATE_S = 0.002, 0.001
_log = structlog.get_logger(__name__)


class ShadowQueue:
    """Requests that wait for a shadow, at most `capacity` rows."""

    def __init__(self, served: ServedVersion, metrics: ServerMetrics, *, capacity: int = _CAPACITY) -> None:
        self.served = served
        name, version = served.predictor.name, served.predictor.version
        self._dropped = metrics.shadow_dropped.labels(name, version)
        self._failed = metrics.shadow_failed.labels(name, version)
        self._capacity, self._rows = capacity, 0
        self._queue: deque[tuple[str, PredictRequest]] = deque()
        self._scheduled, self._running = False, 0

    def offer(self, request_id: str, request: PredictRequest) -> None:
        """Queue a request that was answered."""
        if self._rows + request.rows > self._capacity:
            self._dropped.inc(request.rows)
            return
        self._queue.append((request_id, request._replace(explain="")))
        self._rows += request.rows
        self._drain_later()

    def ended(self, error: BaseException | None = None) -> None:
        """A request was scored, or failed with `error`."""
        if error is not None:
            self._failed.inc()
            _log.debug("shadow_failed", version=self.served.predictor.version, error=repr(error))
        self._running -= 1
        self._drain_later()

    def _drain_later(self) -> None:
        if self._scheduled or self._running or not self._queue:
            return
        self._scheduled = True
        loop = asyncio.get_running_loop()
        due = loop.time() + _PAUSE_S
        loop.call_at(due, self._drain, loop, due)

    def _drain(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Score some requests, unless the event loop is late: then it is busy with requests of callers."""
        self._scheduled = False
        if loop.time() - due > _LATE_S:
            self._drain_later()
            return
        batch: list[tuple[str, PredictRequest]] = []
        rows = 0
        while self._queue and (not batch or rows + self._queue[0][1].rows <= _AT_ONCE):
            batch.append(self._queue.popleft())
            rows += batch[-1][1].rows
        self._rows -= rows
        self._running = len(batch)
        for request_id, request in batch:
            served = self.served
            served.batcher.submit(DiscardSink(self), request_id, request, perf_counter(), defaults=served.defaults)


class DiscardSink:
    """The sink of a shadow's response, which nobody gets."""

    __slots__ = ("_shadow",)

    def __init__(self, shadow: ShadowQueue) -> None:
        self._shadow = shadow

    def done(self) -> bool:
        return False

    def set_result(self, _: PredictAnswer) -> None:
        self._shadow.ended()

    def set_exception(self, error: BaseException) -> None:
        self._shadow.ended(error)


class ShadowTee:
    """A sink that passes the response on and then gives the request to the shadow."""

    __slots__ = ("_request", "_request_id", "_shadow", "_sink")

    def __init__(
        self, sink: ResultSink[PredictAnswer], shadow: ShadowQueue, request_id: str, request: PredictRequest
    ) -> None:
        self._sink, self._shadow, self._request_id, self._request = sink, shadow, request_id, request

    def done(self) -> bool:
        return self._sink.done()

    def set_result(self, answer: PredictAnswer) -> None:
        self._sink.set_result(answer)
        self._shadow.offer(self._request_id, self._request)

    def set_exception(self, error: BaseException) -> None:
        self._sink.set_exception(error)
