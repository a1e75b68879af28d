"""The rows that arrived in a window, read in batches from the row groups that may contain them, chosen by statistics.

A late row is in an old day's partition, so rows are selected by the maxima of row groups, not by partition. Memory depends
on the size of a batch and of a row group's pages, not on the window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.plan import PlanView
from skewless.contract.timestamps import UtcMicros
from skewless.offline.files.parquet_reader import readable
from skewless.offline.tables import view_rows
from skewless.offline.tables.absent_columns import AbsentColumn
from skewless.offline.tables.columns import rows_of_file
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows
from skewless.runtime.errors import SourceMissing

_UNKNOWN = 2**63 - 1
_FILES_REMEMBERED = 200_000
ROWS_A_BATCH = 65_536
_BUFFER_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class RowGroupBounds:
    """One row group: its rows, and the greatest event time and time of any kind in it (microseconds)."""

    rows: int
    event: UtcMicros
    latest: int


@dataclass(frozen=True, slots=True)
class NewRowGroups:
    """Row groups of one file that may contain arrivals; `event` is their greatest event time, `stamp` (mtime in ns, size in bytes)
    identifies the content of the file.
    """

    file: Path
    groups: tuple[int, ...]
    rows: int
    event: UtcMicros
    stamp: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class ViewArrivals:
    """The arrivals of one view with start < arrival <= end (microseconds), and the pieces of its table to read.

    Pieces with the newest events come first, so most rows of later pieces can be dropped as older.
    """

    view: PlanView
    source: TableSource
    start: UtcMicros
    end: UtcMicros
    pieces: tuple[NewRowGroups, ...]

    def __str__(self) -> str:
        return f"{self.rows:,} rows in {len(self.pieces):,} files to look at"

    @property
    def times(self) -> tuple[str, ...]:
        """The columns of event and created time."""
        created_column = self.source.created_timestamp_column
        return (self.source.timestamp_field, created_column) if created_column else (self.source.timestamp_field,)

    @property
    def rows(self) -> int:
        """How many rows must be read."""
        return sum(piece.rows for piece in self.pieces)

    def excluding(self, others: ViewArrivals) -> ViewArrivals:
        """The pieces in files that `others` does not have, or has with another content."""
        known = {(piece.file, piece.stamp) for piece in others.pieces}
        return replace(self, pieces=tuple(piece for piece in self.pieces if (piece.file, piece.stamp) not in known))

    def take(self, history: ViewRows) -> Flags:
        """Mask of the rows in the window: those that the rule admits by `end` and did not admit by `start`, or that were
        created in the window (a late row of a view that is admitted by event time).
        """
        available = self.view.rule.available_at(history.event, history.created)
        late = (history.created > self.start) & (history.created <= self.end)
        return (available <= self.end) & ((available > self.start) | late)

    def waiting(self, history: ViewRows) -> int:
        """How many rows were created in the window with an event time after its end."""
        known = (history.created > self.start) & (history.created <= self.end)
        return int(np.count_nonzero(known & (history.event > self.end)))

    def absent_columns(self) -> list[AbsentColumn]:
        """The columns that files of the pieces lack, and that have no value there. Raises: SourceMismatch."""
        return view_rows.absent_from(self.view, self.source, self._files())

    def batches(self) -> Iterator[ViewRows]:
        """All rows of the pieces, also those outside the window. Raises: SourceMismatch, immediately if a column is not as declared."""
        if not self.pieces:
            return iter(())
        return self._read(view_rows.table_schema(self.view, self.source, self._files()))

    def _files(self) -> list[Path]:
        return sorted(piece.file for piece in self.pieces)

    def _read(self, schema: pa.Schema) -> Iterator[ViewRows]:
        for piece in self.pieces:
            try:
                # A dataset would decode whole row groups; this keeps one batch and a buffer for each column in memory.
                with pq.ParquetFile(piece.file, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
                    yield from self._read_file(file, piece.file, schema)
            except FileNotFoundError as error:
                raise SourceMissing(self.source.view, str(piece.file)) from error
            except view_rows.UNREADABLE as error:
                raise view_rows.unreadable(self.source, error) from error

    def _read_file(self, file: pq.ParquetFile, path: Path, schema: pa.Schema) -> Iterator[ViewRows]:
        """Read by the footer of the open file, which may have been rewritten since the plan."""
        bounds = _bounds_of(file.metadata, self.times)
        groups = [place for place, group in enumerate(bounds) if group.latest > self.start]
        stored = frozenset(file.schema_arrow.names)
        wanted = [name for name in schema.names if name in stored]
        places = np.concatenate([np.zeros(0, np.int64), *(_rows_of(file.metadata, group) for group in groups)])
        read = 0
        for batch in file.iter_batches(ROWS_A_BATCH, groups, wanted, use_threads=False):
            rows = places[read : read + len(batch)]
            with rows_of_file(path, rows.__getitem__):
                table = view_rows.in_schema(self.view, self.source, schema, batch)
                history = view_rows.history_of(self.view, self.source, table)
            yield history
            read += len(batch)


def _rows_of(metadata: pq.FileMetaData, group: int) -> NDArray[np.int64]:
    """The numbers of a row group's rows in its file."""
    first = sum(metadata.row_group(number).num_rows for number in range(group))
    return np.arange(first, first + metadata.row_group(group).num_rows)


def arrivals(view: PlanView, source: TableSource, start: UtcMicros, end: UtcMicros) -> ViewArrivals:
    """The row groups to read for the window (start, end], without partitions of days after `end`. Raises: SourceMissing."""
    pieces, window = [], ViewArrivals(view, source, start, end, ())
    for file in source.files(until=end):
        stat = file.stat()
        with readable(source.view, file):
            bounds = _bounds(file, stat.st_mtime_ns, stat.st_size, window.times)
        groups = tuple(place for place, group in enumerate(bounds) if group.latest > start)
        if groups:
            rows, event = sum(bounds[g].rows for g in groups), max(bounds[g].event for g in groups)
            pieces.append(NewRowGroups(file, groups, rows, event, (stat.st_mtime_ns, stat.st_size)))
    pieces.sort(key=lambda piece: piece.event, reverse=True)
    return replace(window, pieces=tuple(pieces))


@lru_cache(maxsize=_FILES_REMEMBERED)
def _bounds(file: Path, _modified: int, _size: int, times: tuple[str, ...]) -> tuple[RowGroupBounds, ...]:
    return _bounds_of(pq.read_metadata(file), times)


def _bounds_of(metadata: pq.FileMetaData, times: tuple[str, ...]) -> tuple[RowGroupBounds, ...]:
    """The bounds of each row group; _UNKNOWN, the greatest value, if the statistics are missing."""
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    places = {column.path: (index, _unit(column)) for index, column in enumerate(columns) if column.path in times}
    bounds = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        maxima = [_greatest(group, *places[time]) if time in places else _UNKNOWN for time in times]
        maxima[1:] = [
            maxima[0] if _all_null(group, places, time) else latest
            for time, latest in zip(times[1:], maxima[1:], strict=True)
        ]
        bounds.append(RowGroupBounds(group.num_rows, maxima[0], max(maxima)))
    return tuple(bounds)


def _unit(column: pq.ColumnSchema) -> str | None:
    """The unit of a timestamp column; None for other types, and for 96-bit timestamps."""
    if column.physical_type != "INT64" or column.logical_type.type != "TIMESTAMP":
        return None
    return str(json.loads(column.logical_type.to_json())["timeUnit"])


def _all_null(group: pq.RowGroupMetaData, places: Mapping[str, tuple[int, str | None]], created: str) -> bool:
    """Whether no row has a created time, so that each is known since its event time."""
    statistics = group.column(places[created][0]).statistics if created in places else None
    return statistics is not None and statistics.has_null_count and statistics.null_count == group.num_rows


def _greatest(group: pq.RowGroupMetaData, place: int, unit: str | None) -> int:
    """The greatest value in microseconds. It uses the raw number, since pyarrow makes Python times with pandas."""
    statistics = group.column(place).statistics
    if unit is None or statistics is None or not statistics.has_min_max:
        return _UNKNOWN
    greatest: int = statistics.max_raw
    match unit:
        case "nanoseconds":
            return greatest // 1_000
        case "microseconds":
            return greatest
        case _:
            return min(greatest * 1_000, _UNKNOWN)
