"""Columns that files of a table lack: where they have no value there, and where that is refused.

A feature that was added to a view later is absent from the files that were written before. Its rows there have no value
for it, in the join and online alike. That is safe where nothing can have been forgotten:

    a pushed part       was complete when it was pushed, so the feature did not exist then
    any other file      the newest file of the table that is no part has the column, which was added later therefore
    a Delta table       its log says which columns it has

A column that the newest file lost, one that no file has, and an event time that is absent anywhere are refused. A table of
pushed parts alone lacks a new feature until the first push that has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.storage.part_files import FOLDED, PREFIX, part_time
from skewless.offline.files.parquet_reader import readable
from skewless.offline.tables.delta_table import current_columns, is_delta
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch

_FILES_REMEMBERED = 200_000
FileColumns = tuple[Path, Collection[str]]
"""A file of a table and the names of its columns."""


@dataclass(frozen=True, slots=True)
class AbsentColumn:
    """A column that is absent from `files` of the `of` files that were read, the last of which is `latest`."""

    view: str
    column: str
    files: int
    of: int
    latest: Path

    def __str__(self) -> str:
        return (
            f"feature view {self.view!r}: column {self.column!r} is absent from {self.files:,} of the {self.of:,} files that "
            f"were read, such as {self.latest}; rows that were written before it was added have no value for it"
        )


def absent_columns(source: TableSource, files: Sequence[FileColumns], columns: Iterable[str]) -> list[AbsentColumn]:
    """The columns that some of these files of the table lack, and that have no value there.

    Raises: SourceMismatch where a value may have been forgotten, SourceMissing, SourceUnreadable, TableRewritten.
    """
    absent = []
    named = [(file, frozenset(names)) for file, names in files]
    for column in columns:
        without = [file for file, names in named if column not in names]
        if not without:
            continue
        if column == source.timestamp_field:
            raise SourceMismatch(source.view, column, f"is absent from {without[-1]}; each row needs a time")
        _check_added_later(source, column)
        absent.append(AbsentColumn(source.view, column, len(without), len(files), without[-1]))
    return absent


def newest_files(source: TableSource) -> list[Path]:
    """The newest file that is no pushed part, and the newest part; of each at most one. Raises: SourceMissing."""
    own, parts = _by_writer(source.files())
    return [*own[-1:], *parts[-1:]]


def column_names(view: str, file: Path) -> Collection[str]:
    """The names of a file's columns. Raises: TableRewritten, SourceUnreadable."""
    with readable(view, file):
        stat = file.stat()
        return _names(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=_FILES_REMEMBERED)
def _names(file: Path, _modified: int, _size: int) -> tuple[str, ...]:
    schema: pa.Schema = pq.read_schema(file)
    return tuple(schema.names)


def _check_added_later(source: TableSource, column: str) -> None:
    """Check by all files of a table that a column which some lack was added later. Raises: SourceMismatch."""
    if is_delta(source.path):
        if column not in current_columns(source.path):
            raise SourceMismatch(source.view, column, f"is absent from the Delta table {source.path}")
        return
    own, parts = _by_writer(source.files())

    def first_with(files: Sequence[Path]) -> Path | None:
        return next((file for file in reversed(files) if column in column_names(source.view, file)), None)

    if source.superseded and parts and not first_with(parts[-1:]):
        # Rows are pushed under a newer definition that has not this column any more: a null would replace its last value.
        raise _absent(source, column, parts[-1], first_with(parts))
    if not own or first_with(own[-1:]):
        return
    older = first_with(own)
    if older is not None or first_with(parts) is None:
        raise _absent(source, column, own[-1], older)


def _absent(source: TableSource, column: str, newest: Path, older: Path | None) -> SourceMismatch:
    names = list(column_names(source.view, newest))
    other = "no other file has it either" if older is None else f"{older}, an older file, has it"
    return SourceMismatch(source.view, column, f"is absent from {newest}, the newest file, which has {names}; {other}")


def _by_writer(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files that are no pushed parts, in their order, and the parts in the order of their times."""
    parts = sorted((file for file in files if _is_part(file)), key=lambda file: part_time(file.name) or 0)
    return [file for file in files if not _is_part(file)], parts


def _is_part(file: Path) -> bool:
    return file.name.startswith(PREFIX) or (file.name == FOLDED and file.parent.name.startswith("day="))
