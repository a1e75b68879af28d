"""Counts for how many rows of a training set each view had no row for the entity, or only one beyond its ttl.

Counts are by UTC day, so that they can be summed over any window of days, and are collected as the rows stream by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import msgspec
import numpy as np

from skewless.contract.admission import FeatureStatus
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import DAY_US, day_text

FILE = "_absences.json"


class AbsentRows(msgspec.Struct, frozen=True):
    """Of `rows` rows, a view was absent or stale for `absent`."""

    rows: int
    absent: int


class CoverageCounts:
    """Collects the counts by day and view."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, AbsentRows]] = defaultdict(dict)

    def add(self, at: UtcMicrosArray, views: Mapping[str, AdmittedRows]) -> None:
        """Add rows with their times (microseconds) and the admitted rows of each view."""
        days = at // DAY_US
        for view, admitted in views.items():
            missing = admitted.status != FeatureStatus.PRESENT
            for day in np.unique(days).tolist():
                of_day = days == day
                before = self._counts[day_text(day)].get(view, AbsentRows(0, 0))
                rows, absent = int(np.count_nonzero(of_day)), int(np.count_nonzero(missing & of_day))
                self._counts[day_text(day)][view] = AbsentRows(before.rows + rows, before.absent + absent)

    def to_json(self) -> bytes:
        """The counts as JSON; equal counts give equal bytes."""
        return msgspec.json.encode(self._counts, order="sorted")


def metadata_file(folder: Path, name: str) -> Path:
    """A file of a training set beside its rows. Names begin with `_`, which readers of Parquet folders skip; where only the
    name without it is there the folder was written by an older version.
    """
    older = folder / name.removeprefix("_")
    return older if older.exists() and not (folder / name).exists() else folder / name


def read(folder: Path, start: datetime, end: datetime) -> dict[str, AbsentRows]:
    """By view, the counts of the days that begin in [start, end); empty for a training set of an older version."""
    path = metadata_file(folder, FILE)
    if not path.exists():
        return {}
    counts = msgspec.json.decode(path.read_bytes(), type=dict[date, dict[str, AbsentRows]])
    totals: dict[str, AbsentRows] = {}
    for day, views in counts.items():
        if start <= datetime(day.year, day.month, day.day, tzinfo=start.tzinfo) < end:
            for view, of_day in views.items():
                total = totals.get(view, AbsentRows(0, 0))
                totals[view] = AbsentRows(total.rows + of_day.rows, total.absent + of_day.absent)
    return totals
