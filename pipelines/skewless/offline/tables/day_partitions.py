"""Parquet tables with one file per event day; each file is replaced atomically."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from skewless.contract.errors import SkewlessError
from skewless.files.durable import remove_unfinished, write_file

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


@dataclass(eq=False)
class DisorderedDays(SkewlessError):
    """Rows of a day came after rows of a later day, so its file would be incomplete."""

    table: str
    day: date
    after: date

    def __str__(self) -> str:
        return (
            f"table {self.table!r} came with rows of {self.day} after rows of {self.after};"
            " order the rows by day before writing them"
        )


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
) -> DayWriteResult:
    """Replace the days start <= day < end of the table in `folder` by the rows of `batches`.

    `batches` come in order of the UTC day of `event_timestamp`; days outside the range may appear
    and are written too. A file whose bytes would be the same is not touched, a day of the range
    without rows loses its file, and a killed run can simply be run again. Rows of a file are in
    order of `keys`, `event_timestamp`, `created_timestamp`, then of all other columns. `check` is called with
    a changed day's rows before the file is written, and with an empty table before a day's file is removed; if it raises,
    this day and later ones stay as they were.
    Raises: DisorderedDays, and the errors of `check`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for day_folder in folder.glob("day=*"):  # left by a killed run
        remove_unfinished(day_folder / _FILE)
    days: set[date] = set()
    rows = written = 0
    for day, table in _by_day(folder.name, batches):
        days.add(day)
        rows += table.num_rows
        path, content = day_file(folder, day), _encoded(_ordered(table, keys))
        if not _has_content(path, content):
            check(day, table)
            write_file(path, content)
            written += 1
    absent = [day for day in map(date.fromordinal, range(start.toordinal(), end.toordinal())) if day not in days]
    removed = sorted(set(absent) & set(_stored_days(folder)))
    for day in removed:
        check(day, parquet.read_schema(day_file(folder, day)).empty_table())
        _remove(day_file(folder, day))
    return DayWriteResult(folder.name, rows, written, len(days) - written, len(removed), tuple(absent))


def _by_day(table: str, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[date, pa.Table]]:
    """Combine the batches into one Arrow table per day, with one day at a time in memory."""
    current: date | None = None
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        for day, part in _day_runs(batch):
            if current is not None and day < current:
                raise DisorderedDays(table, day, current)
            if current is not None and day > current:
                yield current, pa.Table.from_batches(parts)
                parts = []
            current = day
            parts.append(part)
    if current is not None:
        yield current, pa.Table.from_batches(parts)


def _day_runs(batch: pa.RecordBatch) -> Iterator[tuple[date, pa.RecordBatch]]:
    if batch.num_rows == 0:
        return
    runs = pc.run_end_encode(batch["event_timestamp"].cast(pa.date32()), run_end_type=pa.int32())
    begin = 0
    for day, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield day, batch.slice(begin, stop - begin)
        begin = stop


def _ordered(table: pa.Table, keys: tuple[str, ...]) -> pa.Table:
    """The rows sorted by all columns, so that equal input in another order gives equal bytes."""
    first = [*keys, "event_timestamp", "created_timestamp"]
    rest = [name for name in table.schema.names if name not in first]
    names = [name for name in first if name in table.schema.names] + rest
    return table.sort_by([(name, "ascending") for name in names])


def _encoded(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", write_statistics=True)
    return sink.getvalue()


def _has_content(path: Path, content: pa.Buffer) -> bool:
    """Whether the file at `path` is exactly `content`."""
    return path.is_file() and path.stat().st_size == content.size and bool(path.read_bytes() == content)


def _stored_days(folder: Path) -> list[date]:
    return sorted(date.fromisoformat(path.parent.name.removeprefix("day=")) for path in folder.glob(f"day=*/{_FILE}"))


def _remove(path: Path) -> None:
    path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
