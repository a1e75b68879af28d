"""Parquet tables with one file per event day; each file is replaced atomically."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from skewless.files.durable import remove_unfinished, write_file
from skewless.offline.tables.day_runs import DayRuns
from skewless.offline.tables.row_versions import CREATED, EVENT, Combine, replaced

_FILE = "part-0.parquet"

Check = Callable[[date, pa.Table], None]
"""Called with a day and its rows; raises to reject them."""


def unchecked(day: date, rows: pa.Table) -> None:
    """Accept all rows."""


@dataclass(frozen=True, slots=True)
class DayWriteResult:
    """Result of a write: rows and files of the range, how many files changed, and the days without a row."""

    table: str
    rows: int
    files_written: int
    files_unchanged: int
    files_removed: int
    absent: tuple[date, ...] = ()


def day_file(folder: Path, day: date) -> Path:
    """The file of the rows of `day` (UTC, by `event_timestamp`)."""
    return folder / f"day={day.isoformat()}" / _FILE


def write(
    folder: Path,
    batches: Iterable[pa.RecordBatch],
    keys: tuple[str, ...],
    start: date,
    end: date,
    check: Check = unchecked,
    combine: Combine = replaced,
) -> DayWriteResult:
    """Replace the days start <= day < end of the table in `folder` by the rows of `batches`, which come in any order.

    Days outside the range may appear and are written too. All rows are read before anything is written. `combine` makes a
    day's rows from the stored ones and from those that came in. A file whose bytes would be the same is not touched, a day
    of the range without rows loses its file, and a killed run can simply be run again. Rows of a file are in
    order of `keys`, `event_timestamp`, `created_timestamp`, then of all other columns. `check` is called with
    a changed day's rows before the file is written, and with an empty table before a day's file is removed; if it raises,
    this day and later ones stay as they were. Raises: the errors of `check`, `combine` and `batches`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for day_folder in folder.glob("day=*"):  # left by a killed run
        remove_unfinished(day_folder / _FILE)
    days: set[date] = set()
    rows = written = 0
    with DayRuns(batches, EVENT) as incoming:
        for day, part in incoming.by_day():
            days.add(day)
            path = day_file(folder, day)
            stored = None if combine is replaced or not path.is_file() else parquet.ParquetFile(path).read()
            table = combine(folder.name, stored, part)
            rows += table.num_rows
            content = _encoded(_ordered(table, keys))
            if not _has_content(path, content):
                check(day, table)
                write_file(path, content)
                written += 1
    absent = [day for day in map(date.fromordinal, range(start.toordinal(), end.toordinal())) if day not in days]
    removed = sorted(set(absent) & set(stored_days(folder)))
    for day in removed:
        check(day, parquet.read_schema(day_file(folder, day)).empty_table())
        _remove(day_file(folder, day))
    return DayWriteResult(folder.name, rows, written, len(days) - written, len(removed), tuple(absent))


def _ordered(table: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    """The rows sorted by all columns, so that equal input in another order gives equal bytes."""
    first = [*keys, EVENT, CREATED]
    rest = [name for name in table.schema.names if name not in first]
    names = [name for name in first if name in table.schema.names] + rest
    # Arrow orders no lists and structs.
    keys_of = {name: _texts(table[name]) if pa.types.is_nested(table[name].type) else table[name] for name in names}
    order = pa.table(keys_of)
    return table.take(pc.sort_indices(order, sort_keys=[(name, "ascending") for name in names]))


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([repr(value) for value in column.to_pylist()], pa.string())


def _encoded(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", write_statistics=True)
    return sink.getvalue()


def _has_content(path: Path, content: pa.Buffer) -> bool:
    """Whether the file at `path` is exactly `content`."""
    return path.is_file() and path.stat().st_size == content.size and bool(path.read_bytes() == content)


def stored_days(folder: Path) -> list[date]:
    """The days that have a file, in order."""
    return sorted(date.fromisoformat(path.parent.name.removeprefix("day=")) for path in folder.glob(f"day=*/{_FILE}"))


def _remove(path: Path) -> None:
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
