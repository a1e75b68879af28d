"""For how many rows of a training set each view had no row for the entity, or only one beyond its ttl: by UTC day, so that
it can be told of any days of it, and counted as the rows stream by.
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
from skewless.contract.timestamps import DAY_US, UtcMicrosArray, day_text

FILE = "absences.json"


class AbsentRows(msgspec.Struct, frozen=True):
    """Of `rows` rows a view had nothing to say for `absent`."""

    rows: int
    absent: int


class CoverageCounts:
    """Counts, to be added to."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, AbsentRows]] = defaultdict(dict)

    def add(self, at: UtcMicrosArray, views: Mapping[str, AdmittedRows]) -> None:
        """Some rows with their times (microseconds) and what the join admitted for them."""
        days = at // DAY_US
        for view, admitted in views.items():
            gone = admitted.status != FeatureStatus.PRESENT
            for day in np.unique(days).tolist():
                there = days == day
                before = self._counts[day_text(day)].get(view, AbsentRows(0, 0))
                rows, absent = int(np.count_nonzero(there)), int(np.count_nonzero(gone & there))
                self._counts[day_text(day)][view] = AbsentRows(before.rows + rows, before.absent + absent)

    def to_json(self) -> bytes:
        """The same counts are the same bytes."""
        return msgspec.json.encode(self._counts, order="sorted")


def read(folder: Path, start: datetime, end: datetime) -> dict[str, AbsentRows]:
    """By view the counts of the days that begin in [start, end); none of a training set of an older version."""
    path = folder / FILE
    if not path.exists():
        return {}
    counts = msgspec.json.decode(path.read_bytes(), type=dict[date, dict[str, AbsentRows]])
    found: dict[str, AbsentRows] = {}
    for day, views in counts.items():
        if start <= datetime(day.year, day.month, day.day, tzinfo=start.tzinfo) < end:
            for view, one in views.items():
                before = found.get(view, AbsentRows(0, 0))
                found[view] = AbsentRows(before.rows + one.rows, before.absent + one.absent)
    return found
