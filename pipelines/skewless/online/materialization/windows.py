"""Which windows of which views a materialization takes: decided first, so that it can be shown, or done elsewhere.

Held by tests/online/materialization/test_materialize.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from skewless.contract.errors import RowsLost
from skewless.contract.plan import PlanView
from skewless.contract.storage.catalog import same_rows
from skewless.contract.storage.completeness import StoredView
from skewless.contract.timestamps import MICROSECOND, to_micros
from skewless.offline.tables.arrivals import ViewArrivals, arrivals
from skewless.offline.tables.source import TableSource
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase

SETTLED = timedelta(seconds=10)
"""How long after it was created a row may be on its way to the table: a push is received before its part is written.
The watermark stays so far behind the clock.
"""
_EVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class ArrivalWindow:
    """The arrivals of one view with start < arrival <= end (UTC); `start` None means since ever.

    `advance`: whether the watermark may move to `end` afterwards; not where the window leaves a gap before it.
    `anew`: the watermark means nothing, and becomes `end` even where it was later. `partition`: the start and end of the
    one that the window was planned for.
    """

    view: PlanView
    source: TableSource
    start: datetime | None
    end: datetime
    advance: bool
    anew: bool = False
    partition: tuple[datetime, datetime] | None = None

    def arrivals(self) -> ViewArrivals:
        """What to read. Raises: SourceMissing."""
        start = to_micros(self.start) if self.start else int(_EVER)
        return arrivals(self.view, self.source, start, to_micros(self.end))

    def __str__(self) -> str:
        since = self.start.isoformat() if self.start else "the beginning"
        gap = "" if self.advance else " (it leaves a gap: the watermark stays)"
        return f"{self.view.stored_as}: ({since}, {self.end.isoformat()}]{gap}"

    def plain(self) -> dict[str, Any]:
        """As JSON takes it, for a process that materializes what another one planned."""
        told: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return told

    @classmethod
    def parse(cls, told: dict[str, Any]) -> ArrivalWindow:
        """The window that `plain` told of."""
        return msgspec.convert(told, cls, dec_hook=lambda _, text: Path(text))


def plan_windows(
    state: StateDatabase,
    project: str,
    views: Sequence[tuple[PlanView, TableSource]],
    *,
    end: datetime,
    start: datetime | None = None,
    full: bool = False,
    overlap: timedelta = timedelta(0),
    stored: Mapping[str, StoredView] | None = None,
) -> list[ArrivalWindow]:
    """What a run would do: for each view the window from its watermark to `end`, from `start`, or (`full`) all of it.

    `stored` is what the online store says of the views (`SyncOnlineStore.holdings`). It may be behind the watermark (a
    server that lost its last seconds): then its word counts. Where it knows a view not at all (another Redis, or an
    emptied one), from pushed rows alone, or with other rows (a feature was added), the view is materialized from the
    beginning. A view whose watermark is at or past `end` has nothing to do and is left out, unless its definition is to
    be registered anew. A window that is to start where the one before ended, at that moment, starts at the watermark,
    which stayed `SETTLED` behind.

    Of a table without created timestamps nobody knows when a row arrived: its window goes by event time, and begins
    `overlap` before the watermark, so that rows which come so late are taken. Those that were there before do no harm.
    """
    windows = []
    for view, source in views:
        held = None if stored is None else stored.get(view.stored_as, StoredView())
        watermark = _whole_until(state.watermark(project, view.stored_as), view, held)
        begin = None if full else (start or watermark)
        if begin is not None and begin >= end and (held is None or held.view == view):
            continue
        if begin is not None and watermark is not None and watermark < begin <= watermark + SETTLED:
            begin = watermark
        gap = begin is not None and (watermark is None or begin > watermark)
        if start is None and begin is not None and source.created_timestamp_column is None:
            begin -= overlap
        windows.append(ArrivalWindow(view, source, begin, end, advance=not gap, anew=watermark is None))
    return windows


def plan_partition(
    state: StateDatabase,
    project: str,
    views: Sequence[tuple[PlanView, TableSource]],
    *,
    start: datetime,
    end: datetime,
    stored: Mapping[str, StoredView],
) -> list[ArrivalWindow]:
    """What a run would do once the rows of a partition, start <= event_timestamp < end, are in the offline store.

    Partitions come in any order, and again: a window reaches from the partition's start, or the view's watermark where
    that is earlier, to its end, or the watermark where that is later. So a row is in the window of whichever of its
    partition and its arrival comes last, no window leaves a gap, and each may move the watermark. It takes that no two
    windows of a view are materialized at once.
    """
    windows = []
    for view, source in views:
        held = stored.get(view.stored_as, StoredView())
        watermark = _whole_until(state.watermark(project, view.stored_as), view, held)
        begin = None if watermark is None else min(start - MICROSECOND, watermark)
        until = max(end, watermark or end)
        anew = watermark is None
        windows.append(ArrivalWindow(view, source, begin, until, advance=True, anew=anew, partition=(start, end)))
    return windows


def replanned(window: ArrivalWindow, project: OnlineProject) -> ArrivalWindow:
    """The window as it is now that its turn has come: a partition's goes by the watermark, which another run may have
    moved since it was planned. Any other is as good as it was: it begins no later than it must.

    Raises: StateUnreachable, RedisUnreachable.
    """
    if window.partition is None:
        return window
    (start, end), view = window.partition, window.view
    stored, state = project.store.holdings([view]), project.state
    (now,) = plan_partition(state, project.name, [(view, window.source)], start=start, end=end, stored=stored)
    return now


def confirm(window: ArrivalWindow, store: SyncOnlineStore) -> None:
    """Refuse a window of news where the store does not keep what came before it as the view means it: another definition
    was materialized since the window was planned, by an older process say. Raises: RowsLost, RedisUnreachable.
    """
    view = window.view
    news = window.advance and window.start is not None
    if news and not same_rows(view, store.holdings([view])[view.stored_as].view):
        raise RowsLost(view.stored_as, str(window.start), None)


def _whole_until(watermark: datetime | None, view: PlanView, held: StoredView | None) -> datetime | None:
    """Up to which arrival the store surely has all rows that the view means; None: nobody knows."""
    if held is None or watermark is None:
        return watermark
    return min(watermark, held.reached) if held.reached and same_rows(view, held.view) else None
