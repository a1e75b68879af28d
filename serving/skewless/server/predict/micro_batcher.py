"""Micro-batching: requests of one model version that arrive in one turn of the event loop are answered as one batch.

One read of the store, one decoding, one admission, one scoring, one count and one log entry serve all of them: most of
a request's cost is paid once a batch. No request waits for others: a batch is what has arrived when the loop turns. An
error stays with its request: a batch that fails is halved until the request that causes it is alone.

A long run goes to a thread, off the event loop. While all `threads` are busy, the next batch gathers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from skewless.contract.storage.lookup import Reply
from skewless.contract.storage.served_row import ServedBatch
from skewless.contract.timestamps import Clock, UtcMicros
from skewless.server.errors import InvalidBody, StoreUnavailable
from skewless.server.metrics.canary_window import SlidingCounts
from skewless.server.metrics.version_counters import VersionCounters
from skewless.server.online_store.reader import OnlineStoreReader
from skewless.server.predict import degraded_reads
from skewless.server.predict.explanation import ExplainedFeature
from skewless.server.predict.predictor import Prediction, Predictor
from skewless.server.predict.request import PredictRequest, RequestColumns
from skewless.server.predict.result_sink import ResultSink
from skewless.server.predict.single_request import answer_single
from skewless.server.served_log import ServedLogWriter

_MOST_ROWS = 4_000
"""Rows beyond which requests are split into several batches, so that no turn of the event loop takes long."""
_UNREADABLE = b""


class PredictAnswer(NamedTuple):
    """The response to a request: one score a row (a number, or an object of a model with named outputs), and the `full`
    prediction where the request needs an explanation.

    Where several versions answer: the `versions` of the rows, and their `explanation`, which is rendered already.
    """

    served_at: UtcMicros
    scores: list[Any]
    full: Prediction | None = None
    versions: list[str] | None = None
    explanation: ExplainedFeature | None = None


class PendingRequest(NamedTuple):
    """A request pending since `started` (by `perf_counter`). `defaults`: score with defaults where the store fails."""

    sink: ResultSink[PredictAnswer]
    request_id: str
    request: PredictRequest
    started: float
    defaults: bool


class MicroBatcher:
    """Batches the requests of one model version in one role; `watch` counts for a canary's guardrail."""

    def __init__(
        self,
        predictor: Predictor,
        store: OnlineStoreReader,
        clock: Clock,
        counters: VersionCounters,
        served_log: ServedLogWriter,
        *,
        threads: int,
        role: str = "champion",
        watch: SlidingCounts | None = None,
    ) -> None:
        self._predictor, self._store, self._clock = predictor, store, clock
        self._counters, self._log = counters, served_log
        self._logged, self._watch = replace(predictor.logged, role=role), watch
        self._split = False
        self._pending: list[PendingRequest] = []
        self._rows = 0
        self._running, self._threads = 0, threads
        # The event loop holds only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self,
        sink: ResultSink[PredictAnswer],
        request_id: str,
        request: PredictRequest,
        started: float,
        *,
        defaults: bool,
    ) -> None:
        """Answer a request with one of the next batches, or by itself.

        The sink may get StoreUnavailable, CorruptRow, UnknownSchema or NoContributions.
        """
        pending = PendingRequest(sink, request_id, request, started, defaults)
        if request.places is not None:
            self._split = True
        if request.explain or request.as_of is not None or self._predictor.named_inputs:
            self._begin(self._answer_single(pending))
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._send)
        self._pending.append(pending)
        self._rows += request.rows

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self) -> None:
        """Answer the pending requests. Where they need a thread and none is free, they wait for the next that ends."""
        if self._running >= self._threads and self._predictor.is_long(self._rows):
            return
        pending, self._pending, self._rows = self._pending, [], 0
        for batch in _batches(pending):
            self._begin(self._answer(batch))

    async def _answer(self, batch: Sequence[PendingRequest]) -> None:
        try:
            await self._answer_batch(batch)
        except Exception as error:  # noqa: BLE001 - caused by one request; answered singly, each meets its own
            if len(batch) == 1 or isinstance(error, StoreUnavailable):
                self._fail(batch, error)
                return
            for pending in batch:
                self._begin(self._answer_single(pending))

    async def _answer_batch(self, batch: Sequence[PendingRequest]) -> None:
        predictor = self._predictor
        columns = predictor.reader.columns([pending.request for pending in batch])
        lookups, places = predictor.lookups(columns)
        failed: degraded_reads.FailedReads = {}
        try:
            replies = await self._store.replies(lookups)
        except StoreUnavailable as error:
            if not batch[-1].defaults:
                raise
            failed = degraded_reads.all_failed(lookups, error)
            replies = [[None] * len(lookup.fields) for lookup in lookups]
        at = self._clock()
        # An error in place of a reply: halving the batch finds the request that it belongs to.
        sound = [r if type(r) is list else [_UNREADABLE] * len(k.fields) for r, k in zip(replies, lookups, strict=True)]
        rows = predictor.online.rows(places, sound, columns.rows)
        if predictor.is_long(columns.rows):
            parts = await self._in_thread(batch, columns, rows, at)
        else:
            parts = self._predicted(batch, columns, rows, at)
        begin = 0
        mask = degraded_reads.unread_mask(predictor.online, places, failed, columns.rows) if failed else None
        for part, served in parts:
            end = begin + sum(pending.request.rows for pending in part)
            if served is None:
                self._begin(self._answer_single(part[0]))
            else:
                self._respond(
                    part,
                    served if mask is None else degraded_reads.mark_unread(served, mask[begin:end]),
                    degraded=bool(failed),
                )
            begin = end

    async def _in_thread(
        self, batch: Sequence[PendingRequest], columns: RequestColumns, rows: Sequence[Reply], at: UtcMicros
    ) -> list[tuple[Sequence[PendingRequest], ServedBatch | None]]:
        self._running += 1
        try:
            return await asyncio.to_thread(self._predicted, batch, columns, rows, at)
        finally:
            self._running -= 1
            self._send()

    def _predicted(
        self, batch: Sequence[PendingRequest], columns: RequestColumns, rows: Sequence[Reply], at: UtcMicros
    ) -> list[tuple[Sequence[PendingRequest], ServedBatch | None]]:
        """The batch in as few parts as the compiled path can score; None for a request that needs the slow path."""
        ids, counts = [pending.request_id for pending in batch], [pending.request.rows for pending in batch]
        served = self._predictor.predict(ids, counts, columns, rows, at)
        if served is not None or len(batch) == 1:
            return [(batch, served)]
        half = len(batch) // 2
        cut = sum(counts[:half])
        columns_of = self._predictor.reader.columns
        first, second = (columns_of([pending.request for pending in part]) for part in (batch[:half], batch[half:]))
        return [
            *self._predicted(batch[:half], first, rows[:cut], at),
            *self._predicted(batch[half:], second, rows[cut:], at),
        ]

    async def _answer_single(self, pending: PendingRequest) -> None:
        try:
            result = await answer_single(
                self._predictor,
                self._store,
                self._clock,
                pending.request_id,
                pending.request,
                defaults=pending.defaults,
            )
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            self._fail((pending,), error)
        else:
            self._respond((pending,), result.used, degraded=result.degraded, full=result.full)

    def _respond(
        self, batch: Sequence[PendingRequest], served: ServedBatch, *, degraded: bool, full: Prediction | None = None
    ) -> None:
        """Log and count the batch, and give each sink its scores."""
        if self._split:
            served = served._replace(places=[pending.request.places for pending in batch])
        self._log.offer((self._logged, served))
        now = perf_counter()
        seconds = [now - pending.started for pending in batch]
        self._counters.answered(served, seconds, degraded=degraded)
        if self._watch is not None:
            self._watch.answered(served.scores, seconds)
        scores, at, begin = served.scores.tolist(), served.served_at, 0
        for pending in batch:
            end = begin + pending.request.rows
            if not pending.sink.done():
                pending.sink.set_result(PredictAnswer(at, scores[begin:end], full))
            begin = end

    def _fail(self, batch: Sequence[PendingRequest], error: Exception) -> None:
        # Neither a store that is unavailable nor an invalid request is the version's fault.
        if not isinstance(error, StoreUnavailable | InvalidBody):
            self._counters.failed(len(batch))
            if self._watch is not None:
                self._watch.failed(len(batch))
        for pending in batch:
            if not pending.sink.done():
                pending.sink.set_exception(error)


def _batches(requests: Sequence[PendingRequest]) -> Iterator[Sequence[PendingRequest]]:
    """The requests in batches of about _MOST_ROWS rows."""
    if not requests:
        return
    begin = rows = 0
    for place, pending in enumerate(requests):
        rows += pending.request.rows
        if rows > _MOST_ROWS and place > begin:
            yield requests[begin:place]
            begin, rows = place, pending.request.rows
    yield requests[begin:]
