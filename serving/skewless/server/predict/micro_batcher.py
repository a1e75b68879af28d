"""Bursts: requests of one model version that arrive in one turn of the event loop are answered together.

Their keys are asked for together, their rows decoded, admitted, scored, counted and logged together: most of what a
request costs is paid once a burst. Nobody waits for company: a burst is what has arrived when the loop turns. What goes
wrong with one request is its own: a burst that cannot be answered is halved until the culprit is alone.

A run that is long leaves the loop to others. While as many as there are threads are under way, the next burst gathers.
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
from skewless.server.predict import degraded_reads as unread
from skewless.server.predict.explanation import ExplainedFeature
from skewless.server.predict.predictor import Prediction, Predictor
from skewless.server.predict.request import PredictRequest, RequestColumns
from skewless.server.predict.result_sink import ResultSink
from skewless.server.predict.single_request import answer_alone
from skewless.server.served_log import ServedLogWriter

_MOST_ROWS = 4_000
"""Rows of a burst, beyond which there are several: so that no turn of the loop takes long."""
_UNREADABLE = b""


class PredictAnswer(NamedTuple):
    """What a request is told: one score a row (a number, or what a model of named outputs tells), and everything where
    it asks for an explanation.

    Where several versions answer, the `versions` of the rows, and their explanations already `told`.
    """

    served_at: UtcMicros
    scores: list[Any]
    full: Prediction | None = None
    versions: list[str] | None = None
    told: ExplainedFeature | None = None


class PendingRequest(NamedTuple):
    """Who waits since `started` (by `perf_counter`); `defaults`: the model's policy for a store that is silent."""

    outcome: ResultSink[PredictAnswer]
    request_id: str
    ask: PredictRequest
    started: float
    defaults: bool


class MicroBatcher:
    """The bursts of one model version in one role; a `watch` is kept while that is a trial."""

    def __init__(
        self,
        predictor: Predictor,
        store: OnlineStoreReader,
        clock: Clock,
        tally: VersionCounters,
        served_log: ServedLogWriter,
        *,
        threads: int,
        role: str = "champion",
        watch: SlidingCounts | None = None,
    ) -> None:
        self._predictor, self._store, self._clock = predictor, store, clock
        self._tally, self._log = tally, served_log
        self._logged, self._watch = replace(predictor.logged, role=role), watch
        self._divided = False
        self._waiting: list[PendingRequest] = []
        self._rows = 0
        self._running, self._threads = 0, threads
        # The loop itself keeps no task alive.
        self._tasks: set[asyncio.Task[None]] = set()

    def join(
        self,
        outcome: ResultSink[PredictAnswer],
        request_id: str,
        ask: PredictRequest,
        started: float,
        *,
        defaults: bool,
    ) -> None:
        """Answer in time. It may fail with StoreUnavailable, CorruptRow, UnknownSchema, NoContributions."""
        waiter = PendingRequest(outcome, request_id, ask, started, defaults)
        if ask.places is not None:
            self._divided = True
        if ask.explain or ask.as_of is not None or self._predictor.typed:
            self._begin(self._answer_alone(waiter))
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(waiter)
        self._rows += ask.rows

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self) -> None:
        """Answer who waits, unless they fill a thread and none is free: then whoever gives one back sends them."""
        if self._running >= self._threads and self._predictor.is_long(self._rows):
            return
        waiting, self._waiting, self._rows = self._waiting, [], 0
        for burst in _cut(waiting):
            self._begin(self._answer(burst))

    async def _answer(self, burst: Sequence[PendingRequest]) -> None:
        try:
            await self._answer_together(burst)
        except Exception as error:  # noqa: BLE001 - of one request; alone, each meets its own
            if len(burst) == 1 or isinstance(error, StoreUnavailable):
                self._fail(burst, error)
                return
            for waiter in burst:
                self._begin(self._answer_alone(waiter))

    async def _answer_together(self, burst: Sequence[PendingRequest]) -> None:
        predictor = self._predictor
        given = predictor.reader.given([waiter.ask for waiter in burst])
        lookups, places = predictor.lookups(given)
        refused: unread.Refused = {}
        try:
            replies = await self._store.replies(lookups)
        except StoreUnavailable as error:
            if not burst[-1].defaults:
                raise
            refused = unread.everything(lookups, error)
            replies = [[None] * len(lookup.fields) for lookup in lookups]
        at = self._clock()
        # An error instead of a reply: whose it is comes out when the burst is halved.
        sound = [r if type(r) is list else [_UNREADABLE] * len(k.fields) for r, k in zip(replies, lookups, strict=True)]
        rows = predictor.online.rows(places, sound, given.rows)
        if predictor.is_long(given.rows):
            found = await self._in_thread(burst, given, rows, at)
        else:
            found = self._predicted(burst, given, rows, at)
        begin = 0
        lost = unread.unread(predictor.online, places, refused, given.rows) if refused else None
        for some, used in found:
            end = begin + sum(waiter.ask.rows for waiter in some)
            if used is None:
                self._begin(self._answer_alone(some[0]))
            else:
                self._tell(some, used if lost is None else unread.told(used, lost[begin:end]), unread=bool(refused))
            begin = end

    async def _in_thread(
        self, burst: Sequence[PendingRequest], given: RequestColumns, rows: Sequence[Reply], at: UtcMicros
    ) -> list[tuple[Sequence[PendingRequest], ServedBatch | None]]:
        self._running += 1
        try:
            return await asyncio.to_thread(self._predicted, burst, given, rows, at)
        finally:
            self._running -= 1
            self._send()

    def _predicted(
        self, burst: Sequence[PendingRequest], given: RequestColumns, rows: Sequence[Reply], at: UtcMicros
    ) -> list[tuple[Sequence[PendingRequest], ServedBatch | None]]:
        """The burst in as few parts as can be predicted, None for whom the long way must decide."""
        ids, counts = [waiter.request_id for waiter in burst], [waiter.ask.rows for waiter in burst]
        used = self._predictor.predict(ids, counts, given, rows, at)
        if used is not None or len(burst) == 1:
            return [(burst, used)]
        half = len(burst) // 2
        cut = sum(counts[:half])
        given_of = self._predictor.reader.given
        first, second = (given_of([waiter.ask for waiter in part]) for part in (burst[:half], burst[half:]))
        return [
            *self._predicted(burst[:half], first, rows[:cut], at),
            *self._predicted(burst[half:], second, rows[cut:], at),
        ]

    async def _answer_alone(self, waiter: PendingRequest) -> None:
        try:
            found = await answer_alone(
                self._predictor,
                self._store,
                self._clock,
                waiter.request_id,
                waiter.ask,
                defaults=waiter.defaults,
            )
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            self._fail((waiter,), error)
        else:
            self._tell((waiter,), found.used, unread=found.unread, full=found.full)

    def _tell(
        self, burst: Sequence[PendingRequest], used: ServedBatch, *, unread: bool, full: Prediction | None = None
    ) -> None:
        """Log, count, and hand each request its scores."""
        if self._divided:
            used = used._replace(places=[waiter.ask.places for waiter in burst])
        self._log.offer((self._logged, used))
        now = perf_counter()
        seconds = [now - waiter.started for waiter in burst]
        self._tally.answered(used, seconds, unread=unread)
        if self._watch is not None:
            self._watch.answered(used.scores, seconds)
        scores, at, begin = used.scores.tolist(), used.served_at, 0
        for waiter in burst:
            end = begin + waiter.ask.rows
            if not waiter.outcome.done():
                waiter.outcome.set_result(PredictAnswer(at, scores[begin:end], full))
            begin = end

    def _fail(self, burst: Sequence[PendingRequest], error: Exception) -> None:
        # A store that is away is no version's fault, nor is what it was asked for.
        if not isinstance(error, StoreUnavailable | InvalidBody):
            self._tally.failed(len(burst))
            if self._watch is not None:
                self._watch.failed(len(burst))
        for waiter in burst:
            if not waiter.outcome.done():
                waiter.outcome.set_exception(error)


def _cut(waiting: Sequence[PendingRequest]) -> Iterator[Sequence[PendingRequest]]:
    """The requests in parts of about _MOST_ROWS."""
    if not waiting:
        return
    begin = rows = 0
    for place, waiter in enumerate(waiting):
        rows += waiter.ask.rows
        if rows > _MOST_ROWS and place > begin:
            yield waiting[begin:place]
            begin, rows = place, waiter.ask.rows
    yield waiting[begin:]
