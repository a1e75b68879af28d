"""Freshness of the online store: for each view the age of its watermark and of the newest row up to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow.parquet as pq

from skewless.contract.plan import PlanView
from skewless.contract.timestamps import UtcMicros, from_micros, to_micros
from skewless.offline.tables.arrivals import NewRowGroups, arrivals
from skewless.offline.tables.columns import time_column
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch, SourceMissing
from skewless.state.run_history import RunHistory

_UNKNOWN = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ViewFreshness:
    """Freshness of one view at `at`: its watermark, and the newest event time of its table up to the watermark.

    None: the view was never materialized, or its table is empty or its statistics have no times.
    """

    view: str
    at: datetime
    watermark: datetime | None
    newest: datetime | None
    last_run: str

    @property
    def watermark_age(self) -> timedelta | None:
        return None if self.watermark is None else self.at - self.watermark

    @property
    def newest_age(self) -> timedelta | None:
        return None if self.newest is None else self.at - self.newest

    def as_json(self) -> dict[str, object]:
        return {
            "view": self.view,
            "watermark": self.watermark and self.watermark.isoformat(),
            "watermark_age_s": self.watermark_age and self.watermark_age.total_seconds(),
            "newest": self.newest and self.newest.isoformat(),
            "newest_age_s": self.newest_age and self.newest_age.total_seconds(),
            "last_run": self.last_run,
        }


def run(
    views: Sequence[tuple[PlanView, TableSource]], state: RunHistory, project: str, at: datetime
) -> list[ViewFreshness]:
    """The freshness of each view at `at`. Reads Parquet footers, and event times of row groups that extend beyond the watermark.

    Raises: StateUnreachable.
    """
    results = []
    for view, source in views:
        watermark = state.watermark(project, view.stored_as)
        last = state.runs(project, view.stored_as, limit=1)
        last_run = (
            f"{last[0].status}: {last[0].error}" if last and last[0].error else last[0].status if last else "none"
        )
        newest = _newest(view, source, watermark) if watermark else None
        results.append(ViewFreshness(view.stored_as, at, watermark, newest, str(last_run)))
    return results


def _newest(view: PlanView, source: TableSource, until: datetime) -> datetime | None:
    end = to_micros(until)
    try:
        pieces = [piece for piece in arrivals(view, source, -_UNKNOWN, end).pieces if piece.event != _UNKNOWN]
    except SourceMissing:
        return None
    events = [piece.event for piece in pieces if piece.event <= end]
    # The maximum is in the future, so the statistics do not give the newest time up to `end`.
    for piece in pieces:
        if piece.event > end:
            events += _newest_of(source, piece, end)
    return from_micros(max(events)) if events else None


def _newest_of(source: TableSource, piece: NewRowGroups, end: UtcMicros) -> list[int]:
    """The newest event time of a piece up to `end`, if it has one."""
    try:
        with pq.ParquetFile(piece.file) as file:
            times = file.read_row_groups(list(piece.groups), columns=[source.timestamp_field])
        events = time_column(source.view, source.timestamp_field, times.column(0))
    except (FileNotFoundError, SourceMismatch):
        return []  # rewritten meanwhile, or a table that materialization will refuse
    reached = events[events <= end]
    return [int(reached.max())] if len(reached) else []
