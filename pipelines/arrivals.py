"""Which files of a table can hold rows that arrived since an instant: decided by Parquet statistics, not by names.

A late row lies in an old day's partition, so the partition says nothing about arrival; the row groups' maxima do.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import SourceMismatch
from pipelines.offline import Source, micros

_UNKNOWN = 2**63 - 1
_FILES_REMEMBERED = 200_000


def files_since(source: Source, start: int, end: int) -> list[Path]:
    """The files that may hold a row whose event or created time is past `start`, without partitions of days after
    `end` (both in microseconds). Raises: SourceMissing.
    """
    columns = [source.timestamp_field]
    columns += [source.created_timestamp_column] if source.created_timestamp_column else []
    kept = []
    for file in source.files(until=end):
        stat = file.stat()
        if _latest(file, stat.st_mtime_ns, stat.st_size, tuple(columns)) > start:
            kept.append(file)
    return kept


@lru_cache(maxsize=_FILES_REMEMBERED)
def _latest(file: Path, _modified: int, _size: int, columns: tuple[str, ...]) -> int:
    """The greatest time in `columns`, microseconds; of a file that does not say, the end of time."""
    metadata = pq.read_metadata(file)
    places = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    latest = -_UNKNOWN
    for group in range(metadata.num_row_groups):
        for column in columns:
            place = places.get(column)
            statistics = None if place is None else metadata.row_group(group).column(place).statistics
            if statistics is None or not statistics.has_min_max:
                return _UNKNOWN
            try:
                bound = micros("", column, pa.array([statistics.max]))
            except (SourceMismatch, ValueError, OverflowError):  # no timestamps, or beyond Python's years
                return _UNKNOWN
            latest = max(latest, int(bound[0]))
    return latest
