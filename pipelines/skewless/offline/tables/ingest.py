"""Writes a project's tables, one Parquet file per table and UTC day, from the rows that the project's function returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamps import midnight
from skewless.offline.tables import day_partitions
from skewless.runtime.progress import Report, quiet

_EVENT = "event_timestamp"


@dataclass(eq=False)
class IngestMismatch(SkewlessError):
    """A project's function returns a table that cannot be stored."""

    table: str
    reason: str

    def __str__(self) -> str:
        return f"table {self.table!r} cannot be ingested: {self.reason}; mend the function that `ingest` of models.yaml names"


@dataclass(frozen=True, slots=True)
class IngestTable:
    """A table of the data folder, as defined by the project.

    `rows(start, end)` returns the rows with start <= event_timestamp < end (aware UTC, midnights) as Arrow record batches,
    in order of UTC day; rows of other days are allowed, and are written. The rows of a day must not depend on
    the range. Each batch has the columns `keys`, `event_timestamp` (UTC) and, if rows become known after
    their event time, `created_timestamp`.
    """

    name: str
    keys: tuple[str, ...]
    rows: Callable[[datetime, datetime], Iterable[pa.RecordBatch]]


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
    checks: Mapping[str, day_partitions.Check] = MappingProxyType({}),
) -> IngestResult:
    """Write every table's rows with start <= UTC day of event_timestamp < end under `data`.

    Running it again, also after a kill, changes only what differs. Rows before `start` are not written, so a join shortly
    after `start` misses them. `checks`, by table, are called with each day's rows before they are written.
    Raises: IngestMismatch, DisorderedDays, QualityRefused, and the errors of the project's function.
    """
    _confirm_names(tables)
    results = []
    for number, table in enumerate(tables):
        report(table.name, number, len(tables))
        batches = _confirmed(table, table.rows(midnight(start), midnight(end)))
        check = checks.get(table.name, day_partitions.unchecked)
        results.append(day_partitions.write(data / table.name, batches, table.keys, start, end, check))
    return IngestResult(data, start, end, tuple(results))


def _confirm_names(tables: Sequence[IngestTable]) -> None:
    """Raises: IngestMismatch."""
    names = [table.name for table in tables]
    for name in names:
        if not name or Path(name).name != name or name.startswith("."):
            raise IngestMismatch(name, "its name is not that of a folder")
        if names.count(name) > 1:
            raise IngestMismatch(name, "two tables have this name, and each would remove the other's days")


def _confirmed(table: IngestTable, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, each checked before it is written. Raises: IngestMismatch."""
    for batch in batches:
        if not isinstance(batch, pa.RecordBatch):
            raise IngestMismatch(table.name, f"its rows come as {type(batch).__name__}, not as Arrow record batches")
        absent = [name for name in (*table.keys, _EVENT) if name not in batch.schema.names]
        if absent:
            raise IngestMismatch(table.name, f"its rows lack the column {absent[0]!r}")
        kind = batch.schema.field(_EVENT).type
        if not pa.types.is_timestamp(kind) or kind.tz != "UTC":
            raise IngestMismatch(table.name, f"its column {_EVENT!r} is of type {kind}, not a timestamp in UTC")
        yield batch
