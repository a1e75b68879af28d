"""Materializes feature views: writes the newest row of each entity that arrived in a window to the online store.

A row arrives at the first instant at which its view's rule admits it, or when it is created if that is later in the
window. A window is half-open, (start, end]; the caller chooses `end`, which is now at the latest. The watermark moves to
`end` only after Redis acknowledged every row of the window, so a run that was killed can be repeated and no row is lost. The
watermark stays at least `SETTLED` behind the clock, since rows that were created more recently may not be in the table yet.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import msgspec

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import to_micros
from skewless.offline.tables.absent_columns import AbsentColumn
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
from skewless.runtime.errors import SourceMismatch, SourceMissing
from skewless.runtime.progress import Report, quiet
from skewless.state.locks import WAIT
from skewless.state.run_history import RunCounts, StateUnreachable

DatetimeClock = Callable[[], datetime]
VERB = "materialize"
MOST_AT_ONCE = 4
__all__ = ["SETTLED", "ArrivalWindow", "WrittenWindow", "plan_partition", "plan_windows", "run", "run_window"]


@dataclass(eq=False)
class RunInterrupted(SkewlessError):
    """A run was stopped before it finished."""

    view: str

    def __str__(self) -> str:
        return f"the run was stopped before feature view {self.view!r} was done; run it again, no row is lost"


Check = Callable[[ArrivalWindow, Iterable[ViewRows]], None]
"""Called with a window and its rows, in parts of any size; raises to keep the rows out of the store."""


def unchecked(window: ArrivalWindow, rows: Iterable[ViewRows]) -> None:
    """Accept all rows."""


def log_warning(text: str) -> None:
    """Warn in the log of the process."""
    logging.getLogger(__name__).warning(text)


def run(
    windows: Sequence[ArrivalWindow],
    project: OnlineProject,
    *,
    clock: DatetimeClock,
    report: Report = quiet,
    check: Check = unchecked,
    wait: timedelta = WAIT,
    warn: Callable[[str], None] = log_warning,
) -> dict[str, RunCounts]:
    """Materialize the windows, some of them in parallel; rows read, written, skipped as older and held back, by view.

    `check` gets all of a window's rows before any of them is written; rows that it iterates over are read twice. Memory is
    bounded by `newest_per_entity.CHUNK_BYTES` for each window in progress, whatever the windows' sizes. A view is
    materialized by one run at a time; another run waits for the lock, `wait` at most. `warn` is called of columns that were
    added to a table later and are null in its older files. The table of a superseded definition may have lost its columns:
    then the stored rows stay, the run is recorded as failed, and `warn` is called.
    Raises: LockBusy, RedisUnreachable, RowsLost, StoreFull, StoreReadOnly, QualityRefused, SourceMissing, SourceMismatch, StateUnreachable:
    the first of them, after all other windows have ended. A failed window is recorded as a failed run, and its watermark
    did not move.
    """
    progress = _ReadProgress(report)
    with ThreadPoolExecutor(min(len(windows) or 1, MOST_AT_ONCE, os.cpu_count() or 1)) as workers:
        running = [workers.submit(_tolerant, window, project, clock, progress, check, wait, warn) for window in windows]
        try:
            wait_for(running)
        except BaseException:
            progress.stop()
            raise
    return {window.view.stored_as: future.result() for window, future in zip(windows, running, strict=True)}


class _ReadProgress:
    """Rows read of rows to read, summed over all windows."""

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


def _tolerant(
    window: ArrivalWindow,
    project: OnlineProject,
    clock: DatetimeClock,
    progress: _ReadProgress,
    check: Check,
    wait: timedelta,
    warn: Callable[[str], None],
) -> RunCounts:
    try:
        written = _under_lock(window, project, partial(_materialize, progress, check), clock, wait)
    except (SourceMismatch, SourceMissing) as error:
        if not window.source.superseded:
            raise
        name = window.view.stored_as
        warn(f"the old definition stored as {name} was not materialized, and its rows stay until their ttl: {error}")
        return RunCounts()
    for absent in written.absent:
        warn(str(absent))
    return written.counts


WriteWindow = Callable[[ArrivalWindow, OnlineProject, datetime], "WrittenWindow"]
"""Called with a window and the latest arrival up to which the run may declare the view complete; writes the rows."""


def run_window(
    window: ArrivalWindow, project: OnlineProject, write: WriteWindow, *, clock: DatetimeClock, wait: timedelta = WAIT
) -> RunCounts:
    """Write one window of a view whose rows `write` makes, under the view's lock and recorded as `run` does.

    Raises: LockBusy, StateUnreachable, and what `write` raises.
    """
    return _under_lock(window, project, write, clock, wait).counts


def _under_lock(
    window: ArrivalWindow, project: OnlineProject, write: WriteWindow, clock: DatetimeClock, wait: timedelta
) -> WrittenWindow:
    with project.lock([window.view], VERB, wait):
        return _recorded(replanned(window, project), project, write, clock)


def _recorded(window: ArrivalWindow, project: OnlineProject, write: WriteWindow, clock: DatetimeClock) -> WrittenWindow:
    """Materialize one window, recorded as a run in the state database. It ends now at the latest: a row of later would take the
    place of the one that counts until then.
    """
    started, state = clock(), project.state
    window = msgspec.structs.replace(window, end=min(window.end, started))
    run_id = state.run_started(
        project.name, window.view.stored_as, VERB, window_start=window.start, window_end=window.end, started_at=started
    )
    try:
        written = write(window, project, min(window.end, started - SETTLED))
    except BaseException as error:
        with suppress(StateUnreachable):  # the window's own error is the one to raise
            state.run_failed(run_id, f"{type(error).__name__}: {error}", finished_at=clock())
        raise
    state.run_finished(
        run_id,
        written.counts,
        finished_at=clock(),
        watermark=written.complete_until,
        newest_event=written.newest_event,
        refill=window.refill,
    )
    return written


@dataclass(frozen=True, slots=True)
class WrittenWindow:
    """What one window brought online: its counts, the newest event time among its rows (None without rows), the arrival up to
    which the view is complete afterwards (None if the window does not advance it), and the columns without a value in some
    files, since these are older.
    """

    counts: RunCounts
    newest_event: datetime | None
    complete_until: datetime | None
    absent: list[AbsentColumn]


def _materialize(
    progress: _ReadProgress, check: Check, window: ArrivalWindow, project: OnlineProject, complete_until: datetime
) -> WrittenWindow:
    """Write the newest rows of the window to the online store.

    `complete_until`: the latest arrival up to which this run may declare the view complete, and the instant at which the ttl
    of rows is evaluated.
    """
    store = project.store
    confirm(window, store)
    view, arrivals = window.view, window.arrivals()
    check(window, (batch.take(arrived) for batch in arrivals.batches() if (arrived := arrivals.take(batch)).any()))
    progress.begin(view.stored_as, arrivals.rows)
    batches, absent = arrivals.batches(), arrivals.absent_columns()
    horizon = store.prepare(view).horizon(to_micros(complete_until))
    reader = NewestArrivals(arrivals, project.name, lambda rows: progress.advance(view.stored_as, rows))
    written = 0
    with ThreadPoolExecutor(1) as sender:
        sending: Future[int] | None = None
        for keys, rows in reader.rows(batches):
            written += sending.result() if sending else 0
            sending = sender.submit(store.write, view, keys, rows, horizon)
            del keys, rows
        written += sending.result() if sending else 0
    counts = RunCounts(reader.selected, written, reader.selected - written, reader.waiting)
    if not window.advance:
        store.introduce(view)
        return WrittenWindow(counts, reader.newest_event, None, absent)
    reached = store.register(view, window.start, complete_until, refill=window.refill)
    return WrittenWindow(counts, reader.newest_event, reached, absent)
