"""Materializes feature views: the newest row of each entity that arrived in a window, into the online store.

A row arrives at the first instant at which its view's rule admits it, or when it is created if that is later in the
window. A window is half-open, (start, end]; `end` is the caller's. The watermark moves to `end` only after Redis
acknowledged every row of the window, so a run that dies is run again and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.arrivals import files_since
from pipelines.history import entity_codes, packed_rows, sort_rows
from pipelines.offline import History, Source, read_history
from pipelines.online import OnlineWriter
from pipelines.progress import Report, quiet
from pipelines.state import Counts, State
from serving.contract.catalog import same_rows
from serving.contract.freshness import Flags
from serving.contract.instants import to_micros
from serving.contract.keys import EntityKeys, KeyValue
from serving.contract.plan import View

Clock = Callable[[], datetime]
VERB = "materialize"


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
    stored: Mapping[str, View | None] | None = None,
) -> list[Window]:
    """What a run would do: for each view the window from its watermark to `end`, from `start`, or (`full`) all of it.

    `stored` is what the online store says of the views (`OnlineWriter.definitions`): the watermark of a view that it
    does not know (another Redis, or an emptied one), or knows with other rows (a feature was added), means nothing, and
    the view is materialized from the beginning. A view whose watermark is at or past `end` has nothing to do and is
    left out, unless its definition is to be registered anew.
    """
    windows = []
    for view, source in views:
        held = view if stored is None else stored.get(view.stored_as)
        watermark = state.watermark(project, view.stored_as) if same_rows(view, held) else None
        begin = None if full else (start or watermark)
        gap = begin is not None and (watermark is None or begin > watermark)
        if begin is None or begin < end or held != view:
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
    """Materialize each window; rows read, written, skipped as older and held back as future, by view.

    `check` sees a window's rows before any of them is written. Raises: RedisUnreachable, QualityRefused, SourceMissing,
    SourceMismatch; the run is then noted as failed and no watermark moved.
    """
    done: dict[str, Counts] = {}
    for number, window in enumerate(windows):
        report(str(window), number, len(windows))
        name = window.view.stored_as
        noted = state.run_started(
            project, name, VERB, window_start=window.start, window_end=window.end, started_at=clock()
        )
        try:
            done[name] = _materialize(window, store, project, check)
        except BaseException as error:
            state.run_failed(noted, f"{type(error).__name__}: {error}", finished_at=clock())
            raise
        state.run_finished(noted, done[name], finished_at=clock(), watermark=window.end if window.advance else None)
    return done


def _materialize(window: Window, store: OnlineWriter, project: str, check: Check) -> Counts:
    view, end = window.view, to_micros(window.end)
    start = to_micros(window.start) if window.start else np.iinfo(np.int64).min
    history = read_history(view, window.source, files_since(window.source, start, end))
    arrived = arrivals(view, history, start, end)
    waiting = int(np.count_nonzero((history.created <= end) & (history.created > start) & (history.event > end)))
    fresh = history.take(arrived)
    check(window, [fresh])
    keys, rows = newest_rows(view, fresh, project)
    store.prepare(view)
    written = store.write(view, keys, rows)
    if window.advance:
        store.register(view)
    else:
        store.introduce(view)
    return Counts(read=len(fresh), written=written, skipped_older=len(fresh) - written, held_back=waiting)


def arrivals(view: View, history: History, start: int, end: int) -> Flags:
    """Which rows a window (start, end] (microseconds) takes: those that the rule admits by `end` and that it did not
    admit by `start`, or that were created since (a late row of a view that is known by its event time).
    """
    available = view.rule.available_at(history.event, history.created)
    late = (history.created > start) & (history.created <= end)
    return (available <= end) & ((available > start) | late)


def newest_rows(view: View, history: History, project: str) -> tuple[list[bytes], list[bytes]]:
    """The newest row of each entity, packed, with its key; rows with a null key are nobody's."""
    codes = entity_codes(view, history)
    order = sort_rows(view, history, codes)
    ordered = codes[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(order) else np.zeros(0, bool)
    newest = history.take(order[last])
    keys = EntityKeys(project, [key.key for key in view.join_keys], [key.dtype for key in view.join_keys])
    encoded = keys.encode_rows([key_values(key) for key in newest.keys], len(newest))
    rows = packed_rows(view, newest)
    pairs = [(key, row) for key, row in zip(encoded, rows, strict=True) if key is not None]
    return [key for key, _ in pairs], [row for _, row in pairs]


def key_values(keys: pa.Array) -> list[KeyValue | None]:
    """A column of join keys as `EntityKeys` takes them: times in microseconds."""
    values: list[KeyValue | None] = (keys.cast(pa.int64()) if pa.types.is_timestamp(keys.type) else keys).to_pylist()
    return values
