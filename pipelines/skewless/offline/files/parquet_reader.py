"""A table of Parquet files as row groups, with their statistics and columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.timestamps import SECOND_US, nanos_to_micros
from skewless.runtime.errors import SourceUnreadable, TableRewritten

_Identity = tuple[int, int, int]
_BUFFER_BYTES = 1 << 18
_FOOTERS_CACHED = 1_000
"""In tables with more files, footers are read again for each file, so that they do not fill the memory."""
_UNITS = {"s": SECOND_US, "ms": 1_000, "us": 1}


@dataclass(frozen=True, slots=True)
class InstantRange:
    """The least and the greatest instant of a row group's column, in microseconds."""

    least: int
    greatest: int


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group: its file and number, the table's number of its first row, its rows, and the range of its event times if the
    statistics have it. `sizes` are the bytes on disk of each column of the table, 0 if the file lacks it.
    """

    file: int
    number: int
    first: int
    rows: int
    event: InstantRange | None
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows in the types of their file; `first` is the table's number of the first row."""

    first: int
    columns: pa.RecordBatch


class ParquetTable:
    """Parquet files in order, with their footers. Rows are numbered across all files, so no file may change meanwhile.

    `columns` are the columns to read later, `event` is the column whose statistics are kept; `view` is for errors.
    Raises: TableRewritten, SourceUnreadable.
    """

    def __init__(self, files: Sequence[Path], columns: Sequence[str], event: str, view: str = "") -> None:
        self.files = tuple(files)
        self.columns = tuple(columns)
        self.schemas: list[pa.Schema] = []
        self.row_groups: list[RowGroup] = []
        self._footers: list[pq.FileMetaData | None] = []
        self._identities: list[_Identity] = []
        first = 0
        for place, file in enumerate(files):
            self._identities.append(_identity(file))
            with readable(view, file):
                footer = pq.read_metadata(file)
            self.schemas.append(footer.schema.to_arrow_schema())
            self._footers.append(footer if len(files) <= _FOOTERS_CACHED else None)
            for group in _row_groups(footer, self.schemas[-1], place, first, self.columns, event):
                self.row_groups.append(group)
                first += group.rows
        self.rows = first

    def batches(self, group: RowGroup, columns: Sequence[str], rows: int) -> Iterator[RowBatch]:
        """A row group's columns, at most `rows` rows at a time, without columns that its file lacks.

        Raises: TableRewritten.
        """
        stored = frozenset(self.schemas[group.file].names)
        present = [name for name in columns if name in stored]
        with self._opened(group) as file:
            first = group.first
            for batch in file.iter_batches(rows, row_groups=[group.number], columns=present, use_threads=False):
                yield RowBatch(first, batch)
                first += len(batch)

    def _opened(self, group: RowGroup) -> pq.ParquetFile:
        path, footer = self.files[group.file], self._footers[group.file]
        try:
            file = pq.ParquetFile(path, metadata=footer, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except FileNotFoundError:
            raise TableRewritten(str(path)) from None
        # Files are replaced by renaming: if the path still has its identity now, the opened file is the expected one.
        if _identity(path) != self._identities[group.file]:
            file.close()
            raise TableRewritten(str(path))
        return file


@contextmanager
def readable(view: str, file: Path) -> Iterator[None]:
    """Map errors of Arrow for a file that is read. Raises: TableRewritten, SourceUnreadable."""
    try:
        yield
    except FileNotFoundError:
        raise TableRewritten(str(file)) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceUnreadable(view, str(file), " ".join(str(error).split())) from error


def _identity(file: Path) -> _Identity:
    """Inode, mtime and size, which identify a file. Raises: TableRewritten if it was removed."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        raise TableRewritten(str(file)) from None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def runs(groups: Iterable[RowGroup], rows: int) -> list[list[RowGroup]]:
    """Consecutive row groups combined into batches of at most `rows` rows; a larger row group is a batch by itself."""
    batches: list[list[RowGroup]] = []
    batch_rows = 0
    for group in groups:
        if batches and batch_rows + group.rows <= rows:
            batches[-1].append(group)
            batch_rows += group.rows
        else:
            batches.append([group])
            batch_rows = group.rows
    return batches


def _row_groups(
    footer: pq.FileMetaData, schema: pa.Schema, file: int, first: int, columns: Sequence[str], event: str
) -> Iterator[RowGroup]:
    leaves: dict[str, list[int]] = {}
    names = frozenset(schema.names)
    for place in range(footer.num_columns):
        path = footer.schema.column(place).path
        leaves.setdefault(path if path in names else path.split(".")[0], []).append(place)
    kind = schema.field(event).type if event in names else None
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        sizes = tuple(sum(group.column(leaf).total_compressed_size for leaf in leaves.get(c, ())) for c in columns)
        event_range = _range(group.column(leaves[event][0]).statistics, kind) if event in leaves else None
        yield RowGroup(file, number, first, group.num_rows, event_range, sizes)
        first += group.num_rows


def _range(statistics: pq.Statistics | None, kind: pa.DataType | None) -> InstantRange | None:
    """A time column's range if its statistics have it; None also for a column with nulls, so that it is read and refused."""
    if kind is None or not pa.types.is_timestamp(kind) or statistics is None or not statistics.has_min_max:
        return None
    if statistics.null_count or statistics.physical_type != "INT64":
        return None
    if kind.unit == "ns":
        return InstantRange(nanos_to_micros(statistics.min_raw), nanos_to_micros(statistics.max_raw))
    unit = _UNITS[kind.unit]
    return InstantRange(statistics.min_raw * unit, statistics.max_raw * unit)
