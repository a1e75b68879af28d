"""Where a view's history lies: Parquet files, a folder of them, or a Delta table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath

from skewless.contract.timestamps import DAY_US, UtcMicros
from skewless.files.table_parts import folded_parts
from skewless.offline.tables.delta_table import current_files, is_delta
from skewless.offline.tables.object_storage import RemoteTable
from skewless.runtime.errors import SourceMissing

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where a view's history lies: a Parquet file (with the parts that were appended to it), a folder of them (hive
    partitions `day=YYYY-MM-DD` allowed), or a Delta table.

    Without a `created_timestamp_column` a row is known since its event time. `renamed` gives, for a feature or key,
    the column that holds it where the names differ. A table that is `remote` is mirrored at `path`.
    """

    view: str
    path: Path
    timestamp_field: str
    created_timestamp_column: str | None
    renamed: tuple[tuple[str, str], ...] = ()
    remote: RemoteTable | None = None

    def column(self, name: str) -> str:
        """The table's column for a feature or key."""
        return dict(self.renamed).get(name, name)

    @property
    def foreign(self) -> str | None:
        """The address of a table that is read and not written here: in object storage, or a Delta table."""
        if self.remote is not None:
            return self.remote.url
        return str(self.path) if is_delta(self.path) else None

    def files(self, *, until: UtcMicros | None = None) -> list[Path]:
        """The Parquet files, oldest partition first; with `until` (microseconds, included) without the partitions of
        later days. Raises: SourceMissing, RemoteUnreadable, DeltaUnreadable.
        """
        last = None if until is None else until // DAY_US
        there = self.remote is not None and self.remote.fetch(self.path, lambda path: _counts(path, last))
        if self.path.is_file():
            return [self.path, *_unfolded(parts_folder(self.path))]
        found = current_files(self.path) if is_delta(self.path) else _unfolded(self.path)
        if not found and not there:
            raise SourceMissing(self.view, str(self.path) if self.remote is None else self.remote.url)
        return [file for file in found if _counts(file.relative_to(self.path), last)]


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a table, by path. What is being written, a file or a folder whose name begins with `.` or
    `_`, does not count; a partition `_column=value` does, as for Spark.
    """
    found = sorted(folder.rglob("*.parquet"))
    return [p for p in found if not _hidden(p.relative_to(folder).parts) and p.is_file()]


def _unfolded(folder: Path) -> list[Path]:
    """The Parquet files of a table without the parts that a compaction folded: those may be removed at any time.

    The record is read before the files are listed, so the file that a part was folded into is among them.
    """
    folded = folded_parts(folder)
    return [file for file in parquet_files(folder) if str(file.relative_to(folder)) not in folded]


def parts_folder(file: Path) -> Path:
    """Where rows lie that were appended to a table that is one file."""
    return file.with_name(f"{file.name}.parts")


def _counts(path: PurePath, last: int | None) -> bool:
    """Whether a file, by its path in the table, may hold rows of the days until `last` (None: of any)."""
    return not _hidden(path.parts) and (last is None or not _later(path.parts[:-1], last))


def _hidden(parts: Sequence[str]) -> bool:
    return any(part[0] == "." or (part[0] == "_" and "=" not in part) for part in parts)


def _later(partitions: Sequence[str], last: int) -> bool:
    """Whether the folders of a file say a day after `last` (days since 1970); a day that is none says nothing."""
    for part in partitions:
        if part.startswith("day="):
            try:
                return (date.fromisoformat(part.removeprefix("day=")) - _EPOCH).days > last
            except ValueError:
                return False
    return False
