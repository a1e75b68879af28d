"""Materializes feature views: the newest row of each entity that arrived in a window, into the online store.

A row arrives at the first instant at which its view's rule admits it, or when it is created if that is later in the
window. A window is half-open, (start, end]; `end` is the caller's. The watermark moves to `end` only after Redis
acknowledged every row of the window, so a run that dies is run again and loses nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.arrivals import Arrivals, arrivals
from pipelines.offline import History, Source
from pipelines.online import OnlineWriter
from pipelines.packable import packable
from pipelines.progress import Report, quiet
from pipelines.reduction import CHUNK_ROWS, Seen, chunks, newest
from pipelines.state import Counts, State, StateUnreachable
from serving.contract.catalog import same_rows
from serving.contract.errors import SkewlessError
from serving.contract.instants import to_micros
from serving.contract.key_columns import KeyColumns
from serving.contract.plan import View
from serving.contract.row import Layout
from serving.contract.types import value_type

Clock = Callable[[], datetime]
VERB = "materialize"
MOST_AT_ONCE = 4
_EVER = np.iinfo(np.int64).min


@dataclass(eq=False)
class Interrupted(SkewlessError):
    """A run was ended from outside."""

    view: str

    def __str__(self) -> str:
        return f"the run was ended before feature view {self.view!r} was done; run it again, nothing is lost"


@dataclass(frozen=True, slots=True)
class Window:
    """The arrivals of one view with start < arrival <= end (UTC); `start` None means since ever.

    `advance`: whether the watermark may move to `end` afterwards; not where the window leaves a gap before it.
    """

    view: View
    source: Source
    start: datetime | None
    end: datetime
    advance: bool

    def arrivals(self) -> Arrivals:
        """What to read. Raises: SourceMissing."""
        start = to_micros(self.start) if self.start else int(_EVER)
        return arrivals(self.view, self.source, start, to_micros(self.end))

    def __str__(self) -> str:
        since = self.start.isoformat() if self.start else "the beginning"
        return f"{self.view.stored_as}: ({since}, {self.end.isoformat()}]"

    def plain(self) -> dict[str, Any]:
        """As JSON takes it, for a process that materializes what another one planned."""
        told: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return told

    @classmethod
    def parse(cls, told: dict[str, Any]) -> Window:
        """The window that `plain` told of."""
        return msgspec.convert(told, cls, dec_hook=lambda _, text: Path(text))


Check = Callable[[Window, Iterable[History]], None]
"""Called with a window and its rows, in parts of any size; raises to keep them out of the store."""


def unchecked(window: Window, rows: Iterable[History]) -> None:
    """Let everything pass."""


def plan_windows(
    state: State,
    project: str,
    views: Sequence[tuple[View, Source]],
    *,
    end: datetime,
    start: datetime | None = None,
    full: bool = False,
    overlap: timedelta = timedelta(0),
    stored: Mapping[str, View | None] | None = None,
) -> list[Window]:
    """What a run would do: for each view the window from its watermark to `end`, from `start`, or (`full`) all of it.

    `stored` is what the online store says of the views (`OnlineWriter.definitions`): the watermark of a view that it
    does not know (another Redis, or an emptied one), or knows with other rows (a feature was added), means nothing, and
    the view is materialized from the beginning. A view whose watermark is at or past `end` has nothing to do and is
    left out, unless its definition is to be registered anew.

    Of a table without created timestamps nobody knows when a row arrived: its window goes by event time, and begins
    `overlap` before the watermark, so that rows which come so late are taken. Those that were there before do no harm.
    """
    windows = []
    for view, source in views:
        held = view if stored is None else stored.get(view.stored_as)
        watermark = state.watermark(project, view.stored_as) if same_rows(view, held) else None
        begin = None if full else (start or watermark)
        if begin is not None and begin >= end and held == view:
            continue
        gap = begin is not None and (watermark is None or begin > watermark)
        if start is None and begin is not None and source.created_timestamp_column is None:
            begin -= overlap
        windows.append(Window(view, source, begin, end, advance=not gap))
    return windows


def plan_partition(
    state: State,
    project: str,
    views: Sequence[tuple[View, Source]],
    *,
    start: datetime,
    end: datetime,
    stored: Mapping[str, View | None],
) -> list[Window]:
    """What a run would do once the rows of a partition, start <= event_timestamp < end, are in the offline store.

    Partitions come in any order, and again: a window reaches from the partition's start, or the view's watermark where
    that is earlier, to its end, or the watermark where that is later. So a row is in the window of whichever of its
    partition and its arrival comes last, no window leaves a gap, and each may move the watermark. It takes that no two
    windows of a view are materialized at once.
    """
    windows = []
    for view, source in views:
        known = same_rows(view, stored.get(view.stored_as))
        watermark = state.watermark(project, view.stored_as) if known else None
        begin = None if watermark is None else min(start - timedelta(microseconds=1), watermark)
        windows.append(Window(view, source, begin, max(end, watermark or end), advance=True))
    return windows


def run(
    windows: Sequence[Window],
    store: OnlineWriter,
    state: State,
    project: str,
    *,
    clock: Clock,
    report: Report = quiet,
    check: Check = unchecked,
) -> dict[str, Counts]:
    """Materialize the windows, some side by side; rows read, written, skipped as older and held back, by view.

    `check` sees a window's rows before any of them is written. Memory is bounded by `reduction.CHUNK_BYTES` a window at
    a time, whatever the windows' sizes.
    Raises: RedisUnreachable, StoreFull, StoreReadOnly, QualityRefused, SourceMissing, SourceMismatch, StateUnreachable:
    the first of them, after all other windows came to their end. A failed window is noted as such and its watermark did
    not move.
    """
    told = _Told(report)
    with ThreadPoolExecutor(min(len(windows) or 1, MOST_AT_ONCE, os.cpu_count() or 1)) as workers:
        running = [workers.submit(_noted, window, store, state, project, clock, told, check) for window in windows]
        try:
            wait(running)
        except BaseException:
            told.stop()
            raise
    return {window.view.stored_as: one.result() for window, one in zip(windows, running, strict=True)}


class _Told:
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
            raise Interrupted(item)
        with self._lock:
            self._done, self._total = self._done + done, self._total + total
            self._report(item, self._done, self._total)


def _noted(
    window: Window, store: OnlineWriter, state: State, project: str, clock: Clock, told: _Told, check: Check
) -> Counts:
    """One window as a run in the state database."""
    noted = state.run_started(
        project, window.view.stored_as, VERB, window_start=window.start, window_end=window.end, started_at=clock()
    )
    try:
        counts = _materialize(window, store, project, told, check)
    except BaseException as error:
        with suppress(StateUnreachable):  # the window's own error is the one to tell
            state.run_failed(noted, f"{type(error).__name__}: {error}", finished_at=clock())
        raise
    state.run_finished(noted, counts, finished_at=clock(), watermark=window.end if window.advance else None)
    return counts


def _materialize(window: Window, store: OnlineWriter, project: str, told: _Told, check: Check) -> Counts:
    view, news = window.view, window.arrivals()
    check(window, (batch.take(news.take(batch)) for batch in news.batches()))
    told.begin(view.stored_as, news.rows)
    batches = news.batches()
    store.prepare(view)
    reader = _Reader(news, project, told)
    written = 0
    with ThreadPoolExecutor(1) as sender:
        sending: Future[int] | None = None
        for keys, rows in reader.newest(batches):
            written += sending.result() if sending else 0
            sending = sender.submit(store.write, view, keys, rows)
            del keys, rows
        written += sending.result() if sending else 0
    if window.advance:
        store.register(view)
    else:
        store.introduce(view)
    return Counts(reader.taken, written, reader.taken - written, reader.waiting)


class _Reader:
    """Reads what arrived and keeps each entity's newest rows; counts the rows on its way."""

    def __init__(self, news: Arrivals, project: str, told: _Told) -> None:
        self._news, self._told = news, told
        self._keys = KeyColumns(project, news.view)
        self.taken = self.waiting = self._read = 0

    def newest(self, batches: Iterator[History]) -> Iterator[tuple[pa.BinaryArray, pa.BinaryArray]]:
        """Keys and packed rows. An entity may come again with an older row, which does not win."""
        seen = Seen() if len(self._news.pieces) > 1 and self._news.rows > CHUNK_ROWS else None
        for chunk in chunks(self._arrived(batches)):
            keys, rows = self._reduced(chunk, seen)
            del chunk
            if len(keys):
                yield keys, rows
            del keys, rows
            pa.default_memory_pool().release_unused()

    def _reduced(self, chunk: History, seen: Seen | None) -> tuple[pa.BinaryArray, pa.BinaryArray]:
        keys = self._keys.pack(chunk.keys, len(chunk))
        places = newest(keys, chunk.event, chunk.created)
        if len(places) < len(chunk):
            keys, chunk = keys.take(pa.array(places)), chunk.take(places)
        if seen is not None and self._read <= self._news.pieces[0].rows:
            seen.remember(keys, chunk.event, chunk.created)  # all of one file: hardly any of them is a newer one's
        elif seen is not None:
            news = seen.news(keys, chunk.event, chunk.created)
            if not news.all():
                keys, chunk = keys.filter(pa.array(news)), chunk.take(news)
        return keys, packed(self._news.view, chunk)

    def _arrived(self, batches: Iterator[History]) -> Iterator[History]:
        for batch in batches:
            arrived = self._news.take(batch)
            self.taken += int(np.count_nonzero(arrived))
            self.waiting += self._news.waiting(batch)
            self._read += len(batch)
            self._told.advance(self._news.view.stored_as, len(batch))
            if arrived.any():
                yield batch if arrived.all() else batch.take(arrived)


def packed(view: View, history: History) -> pa.BinaryArray:
    """The rows of a history as the online store holds them. Raises: SourceMismatch."""
    columns = [
        packable(view.stored_as, field.name, value_type(field.dtype), column)
        for field, column in zip(view.fields, history.columns, strict=True)
    ]
    return Layout(view.fields).pack(history.event, history.created, history.deleted, columns)
