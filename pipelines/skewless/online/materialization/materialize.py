"""Materializes feature views: the newest row of each entity that arrived in a window, into the online store.

A row arrives at the first instant at which its view's rule admits it, or when it is created if that is later in the
window. A window is half-open, (start, end]; `end` is the caller's. The watermark moves to `end` only after Redis
acknowledged every row of the window, so a run that dies is run again and loses nothing. It never comes closer to the
clock than `SETTLED`: what is created by then may not be in the table yet, and what is created later surely is not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import to_micros
from skewless.offline.tables.view_rows import ViewRows
from skewless.online.materialization.newest_arrivals import NewestArrivals
from skewless.online.materialization.windows import (
    SETTLED,
    ArrivalWindow,
    confirm,
    plan_partition,
    plan_windows,
    replanned,
)
from skewless.online.store.online_project import OnlineProject
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import WAIT
from skewless.state.run_history import RunCounts, StateUnreachable

Clock = Callable[[], datetime]
VERB = "materialize"
MOST_AT_ONCE = 4
__all__ = ["SETTLED", "ArrivalWindow", "plan_partition", "plan_windows", "run"]


@dataclass(eq=False)
class RunInterrupted(SkewlessError):
    """A run was ended from outside."""

    view: str

    def __str__(self) -> str:
        return f"the run was ended before feature view {self.view!r} was done; run it again, nothing is lost"


Check = Callable[[ArrivalWindow, Iterable[ViewRows]], None]
"""Called with a window and its rows, in parts of any size; raises to keep them out of the store."""


def unchecked(window: ArrivalWindow, rows: Iterable[ViewRows]) -> None:
    """Let everything pass."""


def run(
    windows: Sequence[ArrivalWindow],
    project: OnlineProject,
    *,
    clock: Clock,
    report: Report = quiet,
    check: Check = unchecked,
    wait: timedelta = WAIT,
) -> dict[str, RunCounts]:
    """Materialize the windows, some side by side; rows read, written, skipped as older and held back, by view.

    `check` sees all of a window's rows before any of them is written; what it looks at is read twice. Memory is bounded
    by `reduction.CHUNK_BYTES` a window at a time, whatever the windows' sizes. A view is materialized by one run at a
    time; another one waits for its turn, `wait` at most.
    Raises: Busy, RedisUnreachable, RowsLost, StoreFull, StoreReadOnly, QualityRefused, SourceMissing, SourceMismatch, StateUnreachable:
    the first of them, after all other windows came to their end. A failed window is noted as such and its watermark did
    not move.
    """
    told = _ReadProgress(report)
    with ThreadPoolExecutor(min(len(windows) or 1, MOST_AT_ONCE, os.cpu_count() or 1)) as workers:
        running = [workers.submit(_in_turn, window, project, clock, told, check, wait) for window in windows]
        try:
            wait_for(running)
        except BaseException:
            told.stop()
            raise
    return {window.view.stored_as: one.result() for window, one in zip(windows, running, strict=True)}


class _ReadProgress:
    """What was read of what is to be read, of all windows together."""

    def __init__(self, report: Report) -> None:
        self._report, self._lock = report, threading.Lock()
        self._done = self._total = 0
        self._stopped = False

    def begin(self, item: str, rows: int) -> None:
        self._add(item, 0, rows)

    def advance(self, item: str, rows: int) -> None:
        self._add(item, rows, 0)

    def stop(self) -> None:
        self._stopped = True

    def _add(self, item: str, done: int, total: int) -> None:
        if self._stopped:
            raise RunInterrupted(item)
        with self._lock:
            self._done, self._total = self._done + done, self._total + total
            self._report(item, self._done, self._total)


def _in_turn(
    window: ArrivalWindow,
    project: OnlineProject,
    clock: Clock,
    told: _ReadProgress,
    check: Check,
    wait: timedelta,
) -> RunCounts:
    with project.turn([window.view], VERB, wait):
        return _noted(replanned(window, project), project, clock, told, check)


def _noted(
    window: ArrivalWindow,
    project: OnlineProject,
    clock: Clock,
    told: _ReadProgress,
    check: Check,
) -> RunCounts:
    """One window as a run in the state database."""
    started, state = clock(), project.state
    noted = state.run_started(
        project.name, window.view.stored_as, VERB, window_start=window.start, window_end=window.end, started_at=started
    )
    try:
        counts, reached = _materialize(window, project, min(window.end, started - SETTLED), told, check)
    except BaseException as error:
        with suppress(StateUnreachable):  # the window's own error is the one to tell
            state.run_failed(noted, f"{type(error).__name__}: {error}", finished_at=clock())
        raise
    state.run_finished(noted, counts, finished_at=clock(), watermark=reached, anew=window.anew)
    return counts


def _materialize(
    window: ArrivalWindow, project: OnlineProject, whole: datetime, told: _ReadProgress, check: Check
) -> tuple[RunCounts, datetime | None]:
    """Its counts, and up to where the view is whole now; None where this window does not say. `whole`: up to where it
    may say so, and as of when the rows' time to live begins.
    """
    store = project.store
    confirm(window, store)
    view, news = window.view, window.arrivals()
    check(window, (batch.take(arrived) for batch in news.batches() if (arrived := news.take(batch)).any()))
    told.begin(view.stored_as, news.rows)
    batches = news.batches()
    horizon = store.prepare(view).horizon(to_micros(whole))
    reader = NewestArrivals(news, project.name, lambda rows: told.advance(view.stored_as, rows))
    written = 0
    with ThreadPoolExecutor(1) as sender:
        sending: Future[int] | None = None
        for keys, rows in reader.rows(batches):
            written += sending.result() if sending else 0
            sending = sender.submit(store.write, view, keys, rows, horizon)
            del keys, rows
        written += sending.result() if sending else 0
    counts = RunCounts(reader.taken, written, reader.taken - written, reader.waiting)
    if window.advance:
        return counts, store.register(view, window.start, whole, anew=window.anew)
    store.introduce(view)
    return counts, None
