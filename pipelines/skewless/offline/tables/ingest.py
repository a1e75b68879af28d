"""Writes a project's tables, one Parquet file per table and UTC day, from the rows that come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.timestamps import midnight
from skewless.offline.tables import day_partitions, row_batches
from skewless.offline.tables.row_shape import IngestMismatch, RowShape
from skewless.offline.tables.row_versions import EVENT, Combine, replaced
from skewless.runtime.progress import Report, quiet

Checks = Mapping[str, day_partitions.Check]
_NO_CHECKS: Checks = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class IngestTable:
    """A table of the data folder and where its rows come from.

    `rows(start, end)` returns the rows with start <= event_timestamp < end (aware UTC, midnights), in any order and in any
    kind of frame; `origin` names it in errors. The rows of a day must not depend on the range. A `whole` table returns all
    of its rows whatever the range. Days without rows lose their file only where rows are `replaced`.
    """

    name: str
    keys: tuple[str, ...]
    rows: Callable[[datetime, datetime], object]
    shape: RowShape | None = None
    combine: Combine = replaced
    whole: bool = False
    origin: str = "its function"

    def fitted(self, start: date, end: date) -> Iterator[pa.RecordBatch]:
        """The rows of start <= UTC day < end in the table's shape. Raises: IngestMismatch, and what `rows` raises."""
        first, last = midnight(start), midnight(end)
        shape = self.shape or RowShape(self.name, self.keys)
        for batch in shape.fitted(row_batches.batches(self.name, self.rows(first, last)), self.origin):
            if not self.whole:
                _confirm_range(self, batch, first, last)
            yield batch


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The contents of `data` for start <= day < end after ingest, by table."""

    data: Path
    start: date
    end: date
    tables: tuple[day_partitions.DayWriteResult, ...]


def run(
    tables: Sequence[IngestTable],
    data: Path,
    start: date,
    end: date,
    report: Report = quiet,
    *,
    checks: Checks = _NO_CHECKS,
) -> IngestResult:
    """Write every table's rows with start <= UTC day of event_timestamp < end under `data`.

    Running it again, also after a kill, changes only what differs. Rows before `start` are not written, so a join shortly
    after `start` misses them. `checks`, by table, are called with each day's rows before they are written.
    Raises: IngestMismatch, UnknownRows, QualityRefused, and the errors of the project's function.
    """
    _confirm_names(tables)
    results = []
    for number, table in enumerate(tables):
        report(table.name, number, len(tables))
        folder = data / table.name
        first, last = _cleared(table, folder, start, end)
        check = checks.get(table.name, day_partitions.unchecked)
        results.append(
            day_partitions.write(folder, table.fitted(start, end), table.keys, first, last, check, table.combine)
        )
    return IngestResult(data, start, end, tuple(results))


def add(
    table: IngestTable, batches: Iterable[pa.RecordBatch], data: Path, *, checks: Checks = _NO_CHECKS
) -> day_partitions.DayWriteResult:
    """Put rows of any days, in the table's shape, to the stored ones as `table.combine` says. The same rows again change
    nothing. Raises: as `run`.
    """
    _confirm_names([table])
    check = checks.get(table.name, day_partitions.unchecked)
    return day_partitions.write(data / table.name, batches, table.keys, date.max, date.max, check, table.combine)


def _cleared(table: IngestTable, folder: Path, start: date, end: date) -> tuple[date, date]:
    """The days that lose their file if they have no row now."""
    if table.combine is not replaced:
        return end, end
    stored = day_partitions.stored_days(folder)
    if not table.whole or not stored:
        return (end, end) if table.whole else (start, end)
    return stored[0], stored[-1] + timedelta(days=1)


def _confirm_names(tables: Sequence[IngestTable]) -> None:
    """Raises: IngestMismatch."""
    names = [table.name for table in tables]
    for table in tables:
        name = table.name
        if not name or Path(name).name != name or name.startswith("."):
            raise IngestMismatch(name, table.origin, "its name is not that of a folder")
        if names.count(name) > 1:
            reason = "two tables have this name, and each would remove the other's days"
            raise IngestMismatch(name, table.origin, reason)


def _confirm_range(table: IngestTable, batch: pa.RecordBatch, start: datetime, end: datetime) -> None:
    """Refuse rows of other days: they would replace these days. Raises: IngestMismatch."""
    if not batch.num_rows:
        return
    times = pc.min_max(batch[EVENT]).as_py()
    for time in times.values():
        if not start <= time < end:
            reason = (
                f"it returned a row of {time.isoformat()} for {start.isoformat()} <= event_timestamp < {end.isoformat()}; "
                "return the rows of the range only, or take no range at all, for the whole table at once"
            )
            raise IngestMismatch(table.name, table.origin, reason)
