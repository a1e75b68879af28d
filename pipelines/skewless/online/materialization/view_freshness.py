"""Freshness of the online store: for each view the age of its watermark and of the newest row that is online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from skewless.state.run_history import RunHistory


@dataclass(frozen=True, slots=True)
class ViewFreshness:
    """Freshness of one view at `at`: its watermark, and the newest event time among the rows that materialization brought
    online. Rows that were written to its table since do not count.

    None: the view was never materialized, or no row was.
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


def run(views: Sequence[str], state: RunHistory, project: str, at: datetime) -> list[ViewFreshness]:
    """The freshness of each view at `at`, as the runs recorded it: no table is read. Raises: StateUnreachable."""
    results = []
    for view in views:
        watermark, newest = state.watermark(project, view), state.newest_event(project, view)
        last = state.runs(project, view, limit=1)
        last_run = (
            f"{last[0].status}: {last[0].error}" if last and last[0].error else last[0].status if last else "none"
        )
        results.append(ViewFreshness(view, at, watermark, newest, str(last_run)))
    return results
