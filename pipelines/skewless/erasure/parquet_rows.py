"""Rows about a subject in Parquet files: found by the columns of keys alone, and removed by writing a file anew.

A file that holds none is not touched. A new one takes the old one's place in one rename: the same schema, metadata,
codecs, order of rows and row groups, without the subject's rows; one that held nothing else stays, empty.

Held by tests/erasure/test_erase.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.admission import Flags
from skewless.contract.errors import SkewlessError
from skewless.erasure.subject import ErasureSubject
from skewless.files.durable import remove_unfinished, replace_file
from skewless.offline.tables.compaction import locked
from skewless.offline.tables.source import parquet_files, parts_folder
from skewless.state.locks import WAIT

_CODECS = {"UNCOMPRESSED": "NONE"}
"""What a reader calls otherwise than a writer."""


@dataclass(frozen=True, slots=True)
class RequestRows:
    """Rows of requests, by id and place."""

    asked: pa.Table

    def rows(self, table: pa.Table, columns: Mapping[str, Sequence[str]]) -> Flags:
        """Which rows of a table are about one of them; `columns` say in which of its own each key is held."""
        held = {key: table.column(name) for key, (name,) in columns.items()}
        places = pa.table(held | {"place": np.arange(len(table))})
        mine = places.join(self.asked, keys=list(held), join_type="left semi").column("place").to_numpy()
        found = np.zeros(len(table), bool)
        found[mine] = True
        return found


@dataclass(frozen=True, slots=True)
class ErasableTable:
    """A file or folder of Parquet, and the columns in which it may hold each of the subject's keys.

    `shared`: others may rewrite it too (a compaction), so that it is to be locked. `requests`: it knows the subject by
    these alone.
    """

    kind: str
    path: Path
    columns: Mapping[str, Sequence[str]]
    shared: bool = False
    requests: RequestRows | None = None

    def files(self) -> list[Path]:
        """All files, the parts beside a table that is one file included."""
        if self.path.is_file():
            return [self.path, *parquet_files(parts_folder(self.path))]
        return parquet_files(self.path) if self.path.is_dir() else []


@dataclass(frozen=True, slots=True)
class FileWithSubject:
    """A file that holds rows about the subject."""

    table: ErasableTable
    path: Path
    rows: int


@dataclass(eq=False)
class FileNotRewritten(SkewlessError):
    """A file could not be written anew; the one that is there is as it was."""

    path: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} could not be written anew without the subject ({self.reason}): it is as it was; mend that, and "
            "run this again, which takes up what is left"
        )


def find(subject: ErasureSubject, table: ErasableTable) -> Iterator[FileWithSubject]:
    """The files of a table that hold the subject. Raises: pa.ArrowException for a file that is no Parquet."""
    for path in table.files():
        try:
            file = pq.ParquetFile(path)
        except FileNotFoundError:
            continue  # a part that was folded long ago
        wanted = {column for columns in table.columns.values() for column in columns} & set(file.schema_arrow.names)
        who, rows = table.requests or subject, 0
        if wanted:
            for group in range(file.num_row_groups):
                rows += int(who.rows(file.read_row_group(group, columns=sorted(wanted)), table.columns).sum())
        if rows:
            yield FileWithSubject(table, path, rows)


def remove(subject: ErasureSubject, found: FileWithSubject, wait: timedelta = WAIT) -> None:
    """Write the file anew without the subject; one that is gone meanwhile needs none. Raises: Busy, FileNotRewritten."""
    table = found.table
    with ExitStack() as alone:
        if table.shared:
            base = parts_folder(table.path) if table.path.is_file() else table.path
            alone.enter_context(locked(base, "erase", wait))
        remove_unfinished(found.path)
        try:
            _rewrite(table.requests or subject, found.path, table.columns)
        except OSError as error:
            if not found.path.exists():
                return
            raise FileNotRewritten(str(found.path), error.strerror or str(error)) from error


def digest(path: Path) -> str | None:
    """SHA-256 of a file's content; None where it is gone."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rewrite(who: ErasureSubject | RequestRows, path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    old = pq.ParquetFile(path)
    with replace_file(path) as building:
        with pq.ParquetWriter(building, old.schema_arrow, **_like(old)) as writer:
            for group in range(old.num_row_groups):
                table = old.read_row_group(group)
                kept = table.filter(pa.array(~who.rows(table, columns)))
                if len(kept):
                    writer.write_table(kept, row_group_size=len(kept))
        building.chmod(path.stat().st_mode & 0o777)


def _like(old: pq.ParquetFile) -> dict[str, object]:
    """The codecs and dictionaries of a file's columns."""
    if not old.metadata.num_row_groups:
        return {}
    group = old.metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    codecs = {column.path_in_schema: _CODECS.get(column.compression, column.compression) for column in columns}
    dictionaries = [column.path_in_schema for column in columns if column.has_dictionary_page]
    return {"compression": codecs, "use_dictionary": dictionaries}
