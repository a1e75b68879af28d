"""Finds rows about a subject in Parquet files by their key columns alone, and removes them by rewriting the files.

A file without such rows is not touched. A rewritten file replaces the old one in one rename. It has the same schema,
metadata, codecs, order of rows and row groups, without the subject's rows; a file with no other rows remains, empty.

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

from skewless.contract.columns import Flags
from skewless.contract.errors import SkewlessError
from skewless.erasure.subject import ErasureSubject
from skewless.files.durable import remove_unfinished, replace_file
from skewless.offline.tables.compaction import locked
from skewless.offline.tables.source import parquet_files, parts_folder
from skewless.offline.values.column_types import plain_table
from skewless.state.locks import WAIT

_CODECS = {"UNCOMPRESSED": "NONE"}
"""Codecs that pyarrow's reader and writer name differently."""


@dataclass(frozen=True, slots=True)
class RequestRows:
    """Rows of requests, by request id and row number."""

    keys: pa.Table

    def rows(self, table: pa.Table, columns: Mapping[str, Sequence[str]]) -> Flags:
        """Which rows of a table belong to one of the request rows; `columns` maps each key to its column in the table."""
        key_columns = {key: table.column(name) for key, (name,) in columns.items()}
        numbered = pa.table(key_columns | {"position": np.arange(len(table))})
        matches = numbered.join(self.keys, keys=list(key_columns), join_type="left semi").column("position").to_numpy()
        about = np.zeros(len(table), bool)
        about[matches] = True
        return about


@dataclass(frozen=True, slots=True)
class ErasableTable:
    """A Parquet file or folder, and the columns that may contain each of the subject's keys.

    `shared`: a compaction may rewrite it too, so it must be locked. `requests`: its rows have no entity keys, and the
    subject's rows are those of these requests.
    """

    kind: str
    path: Path
    columns: Mapping[str, Sequence[str]]
    shared: bool = False
    requests: RequestRows | None = None

    def files(self) -> list[Path]:
        """All files, including the parts beside a table that is a single file."""
        if self.path.is_file():
            return [self.path, *parquet_files(parts_folder(self.path))]
        return parquet_files(self.path) if self.path.is_dir() else []


@dataclass(frozen=True, slots=True)
class FileWithSubject:
    """A file that has `rows` rows about the subject."""

    table: ErasableTable
    path: Path
    rows: int


@dataclass(eq=False)
class FileNotRewritten(SkewlessError):
    """A file that could not be rewritten; it is unchanged."""

    path: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} could not be rewritten without the subject ({self.reason}) and is unchanged; remove the cause, "
            "and run this again to erase what is left"
        )


def find(subject: ErasureSubject, table: ErasableTable) -> Iterator[FileWithSubject]:
    """The files of a table with rows about the subject. Raises: pa.ArrowException for a file that is not Parquet."""
    for path in table.files():
        try:
            file = pq.ParquetFile(path)
        except FileNotFoundError:
            continue  # a part that has been compacted meanwhile
        names = {column for columns in table.columns.values() for column in columns} & set(file.schema_arrow.names)
        matcher, rows = table.requests or subject, 0
        if names:
            for group in range(file.num_row_groups):
                rows += int(matcher.rows(file.read_row_group(group, columns=sorted(names)), table.columns).sum())
        if rows:
            yield FileWithSubject(table, path, rows)


def remove(subject: ErasureSubject, file: FileWithSubject, wait: timedelta = WAIT) -> None:
    """Rewrite the file without the subject; a file that no longer exists is skipped. Raises: LockBusy, FileNotRewritten."""
    table = file.table
    with ExitStack() as lock:
        if table.shared:
            base = parts_folder(table.path) if table.path.is_file() else table.path
            lock.enter_context(locked(base, "erase", wait))
        remove_unfinished(file.path)
        try:
            _rewrite(table.requests or subject, file.path, table.columns)
        except OSError as error:
            if not file.path.exists():
                return
            raise FileNotRewritten(str(file.path), error.strerror or str(error)) from error


def digest(path: Path) -> str | None:
    """SHA-256 of a file's content; None where it does not exist."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rewrite(matcher: ErasureSubject | RequestRows, path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    old = pq.ParquetFile(path)
    with replace_file(path) as building:
        # A file that Python opened: its errors say what the system said, and Arrow's own files wrap that.
        with building.open("wb") as file, pq.ParquetWriter(file, old.schema_arrow, **_writer_options(old)) as writer:
            for group in range(old.num_row_groups):
                table = old.read_row_group(group)
                kept = plain_table(table).filter(pa.array(~matcher.rows(table, columns)))
                if len(kept):
                    writer.write_table(kept.cast(old.schema_arrow), row_group_size=len(kept))
        building.chmod(path.stat().st_mode & 0o777)


def _writer_options(old: pq.ParquetFile) -> dict[str, object]:
    """Options for a writer: the codecs and dictionary encodings of a file's columns."""
    if not old.metadata.num_row_groups:
        return {}
    group = old.metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    codecs = {column.path_in_schema: _CODECS.get(column.compression, column.compression) for column in columns}
    dictionaries = [column.path_in_schema for column in columns if column.has_dictionary_page]
    return {"compression": codecs, "use_dictionary": dictionaries}
