"""A shadow: a version that is asked what the champion was asked, after that was answered, and whose answer is logged.

It reads the store by itself, as it would if it were the champion, so the audit replays its rows like any other. It never
makes a request wait: its questions are queued once they were answered, and taken up while the event loop is idle. A
queue that is full drops questions and counts them.
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
    """The queue before a shadow, of at most `capacity` rows."""

    def __init__(self, answerer: ServedVersion, metrics: ServerMetrics, *, capacity: int = _CAPACITY) -> None:
        self.answerer = answerer
        name, version = answerer.predictor.name, answerer.predictor.version
        self._dropped = metrics.shadow_dropped.labels(name, version)
        self._failed = metrics.shadow_failed.labels(name, version)
        self._capacity, self._rows = capacity, 0
        self._queue: deque[tuple[str, PredictRequest]] = deque()
        self._looking, self._running = False, 0

    def offer(self, request_id: str, ask: PredictRequest) -> None:
        """Queue a question that was answered."""
        if self._rows + ask.rows > self._capacity:
            self._dropped.inc(ask.rows)
            return
        self._queue.append((request_id, ask._replace(explain="")))
        self._rows += ask.rows
        self._look_later()

    def ended(self, error: BaseException | None = None) -> None:
        """One question has its answer, or none."""
        if error is not None:
            self._failed.inc()
            _log.debug("shadow_failed", version=self.answerer.predictor.version, error=repr(error))
        self._running -= 1
        self._look_later()

    def _look_later(self) -> None:
        if self._looking or self._running or not self._queue:
            return
        self._looking = True
        loop = asyncio.get_running_loop()
        due = loop.time() + _PAUSE_S
        loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Take up some questions, unless the loop comes late to this: then requests keep it busy."""
        self._looking = False
        if loop.time() - due > _LATE_S:
            self._look_later()
            return
        taken: list[tuple[str, PredictRequest]] = []
        rows = 0
        while self._queue and (not taken or rows + self._queue[0][1].rows <= _AT_ONCE):
            taken.append(self._queue.popleft())
            rows += taken[-1][1].rows
        self._rows -= rows
        self._running = len(taken)
        for request_id, ask in taken:
            who = self.answerer
            who.bursts.join(DiscardSink(self), request_id, ask, perf_counter(), defaults=who.defaults)


class DiscardSink:
    """Where a shadow's answer goes."""

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
    """An outcome whose question goes to the shadow once it is told."""

    __slots__ = ("_ask", "_outcome", "_request_id", "_shadow")

    def __init__(
        self, outcome: ResultSink[PredictAnswer], shadow: ShadowQueue, request_id: str, ask: PredictRequest
    ) -> None:
        self._outcome, self._shadow, self._request_id, self._ask = outcome, shadow, request_id, ask

    def done(self) -> bool:
        return self._outcome.done()

    def set_result(self, answer: PredictAnswer) -> None:
        self._outcome.set_result(answer)
        self._shadow.offer(self._request_id, self._ask)

    def set_exception(self, error: BaseException) -> None:
        self._outcome.set_exception(error)
