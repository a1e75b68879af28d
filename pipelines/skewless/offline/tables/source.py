"""The location of a view's history: Parquet files, a folder of them, or a Delta table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath

from skewless.contract.timestamps import DAY_US, UtcMicros
from skewless.files.folded_parts import folded_parts
from skewless.offline.tables.delta_table import current_files, is_delta
from skewless.offline.tables.object_storage import RemoteTable
from skewless.runtime.errors import SourceMissing

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class TableSource:
    """The location of a view's history: a Parquet file (with the parts that were appended to it), a folder of them (hive
    partitions `day=YYYY-MM-DD` allowed), or a Delta table.

    Without a `created_timestamp_column` a row is known since its event time. `renamed` maps a feature or key to its
    column where the names differ. A table that is `remote` is mirrored at `path`. `superseded`: a newer definition of the
    view took the place of the one that reads this table, which may lose its columns therefore.
    """

    view: str
    path: Path
    timestamp_field: str
    created_timestamp_column: str | None
    renamed: tuple[tuple[str, str], ...] = ()
    remote: RemoteTable | None = None
    superseded: bool = False

    def column(self, name: str) -> str:
        """The table's column for a feature or key."""
        return dict(self.renamed).get(name, name)

    @property
    def foreign(self) -> str | None:
        """The address of a read-only table (in object storage, or a Delta table); None for other tables."""
        if self.remote is not None:
            return self.remote.url
        return str(self.path) if is_delta(self.path) else None

    def files(self, *, until: UtcMicros | None = None) -> list[Path]:
        """The Parquet files, oldest partition first; with `until` (microseconds, included) without the partitions of
        later days. Raises: SourceMissing, RemoteUnreadable, DeltaUnreadable.
        """
        last = None if until is None else until // DAY_US
        remote_has_files = self.remote is not None and self.remote.fetch(self.path, lambda path: _counts(path, last))
        if self.path.is_file():
            return [self.path, *_unfolded(parts_folder(self.path))]
        files = current_files(self.path) if is_delta(self.path) else _unfolded(self.path)
        if not files and not remote_has_files:
            raise SourceMissing(self.view, str(self.path) if self.remote is None else self.remote.url)
        return [file for file in files if _counts(file.relative_to(self.path), last)]


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a table, by path. Files and folders whose name begins with `.` or `_` are in progress and left out;
    a partition `_column=value` is included, as in Spark.
    """
    paths = sorted(folder.rglob("*.parquet"))
    return [p for p in paths if not _hidden(p.relative_to(folder).parts) and p.is_file()]


def _unfolded(folder: Path) -> list[Path]:
    """The Parquet files of a table without the parts that a compaction folded, which may be removed at any time.

    The record of folded parts is read before the files are listed, so the list includes the files with their rows.
    """
    folded = folded_parts(folder)
    return [file for file in parquet_files(folder) if str(file.relative_to(folder)) not in folded]


def parts_folder(file: Path) -> Path:
    """The folder of rows that were appended to a single-file table."""
    return file.with_name(f"{file.name}.parts")


def _counts(path: PurePath, last: int | None) -> bool:
    """Whether a file, by its path in the table, may contain rows of days up to `last` (None: of any day)."""
    return not _hidden(path.parts) and (last is None or not _later(path.parts[:-1], last))


def _hidden(parts: Sequence[str]) -> bool:
    return any(part[0] == "." or (part[0] == "_" and "=" not in part) for part in parts)


def _later(partitions: Sequence[str], last: int) -> bool:
    """Whether a file is in the partition of a day after `last` (days since 1970); an invalid day counts as not later."""
    for part in partitions:
        if part.startswith("day="):
            try:
                return (date.fromisoformat(part.removeprefix("day=")) - _EPOCH).days > last
            except ValueError:
                return False
    return False
