"""Plans the windows of a materialization: a plan can be printed, or carried out by another process.

Held by tests/online/materialization/test_materialize.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""How long after its created time a row may still be missing from the table: a push is received before its part is written.
The watermark stays this far behind the clock.
"""
_EVER = np.iinfo(np.int64).min


class ArrivalWindow(msgspec.Struct, frozen=True):
    """The arrivals of one view with start < arrival <= end (UTC); `start` None means from the beginning.

    `advance`: whether the watermark may move to `end` afterwards; false if there is a gap between watermark and `start`.
    `refill`: the former watermark does not apply, and becomes `end` even if it was later. `partition`: the start and end of
    the partition that the window was planned for, if any.
    """

    view: PlanView
    source: TableSource
    start: datetime | None
    end: datetime
    advance: bool
    refill: bool = msgspec.field(default=False, name="anew")
    partition: tuple[datetime, datetime] | None = None

    def arrivals(self) -> ViewArrivals:
        """The row groups to read. Raises: SourceMissing."""
        start = to_micros(self.start) if self.start else int(_EVER)
        return arrivals(self.view, self.source, start, to_micros(self.end))

    def __str__(self) -> str:
        since = self.start.isoformat() if self.start else "the beginning"
        gap = "" if self.advance else " (it leaves a gap: the watermark stays)"
        return f"{self.view.stored_as}: ({since}, {self.end.isoformat()}]{gap}"

    def to_builtins(self) -> dict[str, Any]:
        """JSON-compatible values, for another process that materializes the window."""
        values: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return values

    @classmethod
    def parse(cls, values: dict[str, Any]) -> ArrivalWindow:
        """The inverse of `to_builtins`."""
        return msgspec.convert(values, cls, dec_hook=lambda _, text: Path(text))


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
    """The windows of a run: for each view from its watermark to `end`, from `start`, or (`full`) from the beginning.

    `stored` is the state of the views in the online store (`SyncOnlineStore.stored_views`). It may be behind the watermark
    (a server that lost its last seconds): then the earlier of the two counts. If the store does not know a view (another
    Redis, or an emptied one), knows it from pushed rows alone, or has other rows (a feature was added), the view is
    materialized from the beginning. A view whose watermark is at or past `end` is left out, unless its definition changed
    and must be registered. A `start` at most `SETTLED` after the watermark is moved back to the watermark, which stays that
    far behind the end of the previous window.

    A table without created timestamps does not record when a row arrived: its window goes by event time and begins
    `overlap` before the watermark, so that rows up to that late are included. Writing a row again is harmless.
    """
    windows = []
    for view, source in views:
        stored_view = None if stored is None else stored.get(view.stored_as, StoredView())
        watermark = _complete_until(state.watermark(project, view.stored_as), view, stored_view)
        begin = None if full else (start or watermark)
        if begin is not None and begin >= end and (stored_view is None or stored_view.view == view):
            continue
        if begin is not None and watermark is not None and watermark < begin <= watermark + SETTLED:
            begin = watermark
        gap = begin is not None and (watermark is None or begin > watermark)
        if start is None and begin is not None and source.created_timestamp_column is None:
            begin -= overlap
        windows.append(ArrivalWindow(view, source, begin, end, advance=not gap, refill=watermark is None))
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
    """The windows of a run after the rows of a partition, start <= event_timestamp < end, were written to the offline store.

    Partitions come in any order, and may be repeated: a window extends from the partition's start, or the view's watermark
    if that is earlier, to its end, or the watermark if that is later. So a row is in the window that runs after both its
    partition and its arrival, no window leaves a gap, and each may move the watermark. This requires that no two windows
    of a view are materialized at the same time.
    """
    windows = []
    for view, source in views:
        stored_view = stored.get(view.stored_as, StoredView())
        watermark = _complete_until(state.watermark(project, view.stored_as), view, stored_view)
        begin = None if watermark is None else min(start - MICROSECOND, watermark)
        until = max(end, watermark or end)
        refill = watermark is None
        windows.append(ArrivalWindow(view, source, begin, until, advance=True, refill=refill, partition=(start, end)))
    return windows


def replanned(window: ArrivalWindow, project: OnlineProject) -> ArrivalWindow:
    """The window, planned again under the lock: a partition's window depends on the watermark, which another run may have
    moved since. Other windows are returned as they are: they still begin no later than they must.

    Raises: StateUnreachable, RedisUnreachable.
    """
    if window.partition is None:
        return window
    (start, end), view = window.partition, window.view
    stored, state = project.store.stored_views([view]), project.state
    (current,) = plan_partition(state, project.name, [(view, window.source)], start=start, end=end, stored=stored)
    return current


def confirm(window: ArrivalWindow, store: SyncOnlineStore) -> None:
    """Refuse an incremental window if the rows before it in the store are of another definition of the view, for example
    because an older process materialized it since the window was planned. Raises: RowsLost, RedisUnreachable.
    """
    view = window.view
    continues = window.advance and window.start is not None
    if continues and not same_rows(view, store.stored_views([view])[view.stored_as].view):
        raise RowsLost(view.stored_as, str(window.start), None)


def _complete_until(watermark: datetime | None, view: PlanView, stored_view: StoredView | None) -> datetime | None:
    """The arrival up to which the store certainly has all rows of the view as it is defined now; None if that is unknown."""
    if stored_view is None or watermark is None:
        return watermark
    return min(watermark, stored_view.reached) if stored_view.reached and same_rows(view, stored_view.view) else None
