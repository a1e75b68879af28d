"""The offline store: feature views' histories as Parquet files, read into arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from skewless.contract.admission import Flags, Micros
from skewless.contract.plan import PlanView
from skewless.contract.storage.part_files import folded_parts
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.tables.delta_table import current_files, is_delta
from skewless.offline.tables.object_storage import RemoteTable
from skewless.offline.values.column_types import as_texts, holds, holds_value, natural, numbers_as_text
from skewless.runtime.errors import SourceMismatch, SourceMissing, TableRewritten

_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000


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

    def files(self, *, until: int | None = None) -> list[Path]:
        """The Parquet files, oldest partition first; with `until` (microseconds, included) without the partitions of
        later days. Raises: SourceMissing, RemoteUnreadable, DeltaUnreadable.
        """
        last = None if until is None else until // _DAY_US
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


@dataclass(frozen=True, slots=True)
class ViewRows:
    """Rows of a view, in no order: join keys, times in microseconds, tombstone flags, and the view's features
    in its order as Arrow columns. Those that rows hold as Feast's Value messages are as the table has them, and
    `packable` turns the few that are used into bytes.
    """

    keys: tuple[pa.Array, ...]
    event: Micros
    created: Micros
    deleted: Flags
    columns: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: Micros | Flags) -> ViewRows:
        """Some rows, by place or by mask."""
        places = pa.array(np.flatnonzero(rows) if rows.dtype == bool else rows)
        return ViewRows(
            tuple(key.take(places) for key in self.keys),
            self.event[rows],
            self.created[rows],
            self.deleted[rows],
            tuple(column.take(places) for column in self.columns),
        )


def read_history(view: PlanView, source: TableSource, files: Sequence[Path]) -> ViewRows:
    """Read some files of a view's history: its keys, times and features.

    Raises: SourceMismatch naming the column that is absent or of a wrong type, or a row without event time.
    """
    if not files:
        empty = {name: pa.array([], natural(kind) or pa.null()) for name, kind in _wanted(view).items()}
        none = np.zeros(0, np.int64)
        return _history(view, empty, none, none)
    schema = table_schema(view, source, files)
    try:
        data = ds.dataset([str(file) for file in files], format="parquet", schema=schema)
        return history_of(view, source, data.to_table())
    except FileNotFoundError as error:
        raise TableRewritten(str(source.path)) from error
    except UNREADABLE as error:
        raise unreadable(source, error) from error


UNREADABLE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)
"""What Arrow raises for a file whose values do not fit the table's types."""


def unreadable(source: TableSource, error: Exception) -> SourceMismatch:
    return SourceMismatch(source.view, "*", f"does not have one type in all files ({error})")


def history_of(view: PlanView, source: TableSource, table: pa.Table) -> ViewRows:
    """Rows of a view's table that were read as its `table_schema`. Raises: SourceMismatch."""
    columns = {}
    keys = {key.key for key in view.join_keys}
    for name, kind in _wanted(view).items():
        stored = source.column(name)
        read = join_key if name in keys else feature
        columns[name] = read(source.view, stored, table.column(stored), kind)
    event = micros(source.view, source.timestamp_field, table.column(source.timestamp_field))
    known = source.created_timestamp_column
    created = event if known is None else micros(source.view, known, table.column(known))
    return _history(view, columns, event, created)


def table_schema(view: PlanView, source: TableSource, files: Sequence[Path]) -> pa.Schema:
    """The columns that a view wants of some files of its table, in declared types where the files differ.

    The newest file must have them all; what an older one lacks is null there. Raises: SourceMismatch.
    """
    kinds: dict[str, ValueType | None] = {source.column(name): kind for name, kind in _wanted(view).items()}
    times = [source.timestamp_field]
    times += [source.created_timestamp_column] if source.created_timestamp_column else []
    kinds |= dict.fromkeys(times)
    held = pq.read_schema(files[-1])
    check_columns(source.view, held, kinds)
    opened = ds.dataset([str(file) for file in files], format="parquet", schema=held)
    keys = {source.column(key.key) for key in view.join_keys}
    found = stored_types(source.view, ((one.path, one.physical_schema) for one in opened.get_fragments()), kinds, keys)
    return pa.schema([(name, common_type(source.view, name, stored, kinds[name])) for name, stored in found.items()])


def _wanted(view: PlanView) -> dict[str, ValueType]:
    """The types of the keys, features and tombstones of a view, by their names there."""
    wanted = {key.key: value_type(key.dtype) for key in view.join_keys}
    wanted |= {field.name: value_type(field.dtype, feature=field.name) for field in view.fields}
    if view.deleted_field:
        wanted[view.deleted_field] = value_type("Bool")
    return wanted


def check_columns(view: str, held: pa.Schema, columns: Iterable[str]) -> None:
    """Whether a table has these columns. Raises: SourceMismatch."""
    for column in columns:
        if column not in held.names:
            raise SourceMismatch(view, column, f"is absent; the table has {held.names}")


def stored_types(
    view: str, schemas: Iterable[tuple[str, pa.Schema]], kinds: Mapping[str, ValueType | None], keys: Collection[str]
) -> dict[str, set[pa.DataType]]:
    """The types in which a table's files (by path) store each column, of which `keys` are join keys.

    Raises: SourceMismatch for a wrong one.
    """
    found: dict[str, set[pa.DataType]] = {column: set() for column in kinds}
    for path, schema in schemas:
        for column, kind in kinds.items():
            if column in schema.names:
                stored = schema.field(column).type
                numbered = kind is not None and column in keys and numbers_as_text(kind, stored)
                if kind is not None and not numbered and not holds_value(kind, stored):
                    raise SourceMismatch(view, column, f"{_differs(kind, stored)} (in {path})")
                found[column].add(stored)
    return found


def common_type(view: str, name: str, stored: set[pa.DataType], declared: ValueType | None) -> pa.DataType:
    """The type to read a column in that files store in these types. Raises: SourceMismatch where there is none."""
    if len(stored) == 1:
        return next(iter(stored))
    if declared is None:
        precise = any(pa.types.is_timestamp(kind) and kind.unit == "ns" for kind in stored)
        return pa.timestamp("ns" if precise else "us", tz="UTC")
    common = natural(declared)
    if common is None or declared.name == "ZonedTimestamp":
        listed = ", ".join(sorted(map(str, stored)))
        raise SourceMismatch(view, name, f"must have one type in all files and has {listed}; rewrite the table")
    return common


def _differs(declared: ValueType, stored: pa.DataType) -> str:
    shown = declared.name if declared.encoding == "value" else declared.arrow
    return f"is {stored} and is declared as {shown}"


def _history(view: PlanView, columns: dict[str, pa.Array], event: Micros, created: Micros) -> ViewRows:
    if view.deleted_field:
        deleted = columns[view.deleted_field].fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    else:
        deleted = np.zeros(len(event), bool)
    keys = tuple(columns[key.key] for key in view.join_keys)
    return ViewRows(keys, event, created, deleted, tuple(columns[field.name] for field in view.fields))


def feature(view: str, name: str, column: pa.ChunkedArray, kind: ValueType) -> pa.Array:
    """A column of a table as a history keeps it: in the declared type, and where that is none of Arrow's (a list, map,
    struct, ...) as the table has it. Raises: SourceMismatch.
    """
    if not holds_value(kind, column.type):
        raise SourceMismatch(view, name, _differs(kind, column.type))
    if kind.encoding == "value":
        return _whole(column)
    texts = as_texts(kind, _whole(column))
    return cast(view, name, texts, kind.arrow)


def join_key(view: str, name: str, column: pa.ChunkedArray | pa.Array, kind: ValueType) -> pa.Array:
    """As `feature`; whole numbers under a key that is declared as text are their decimal texts.

    Raises: SourceMismatch.
    """
    if numbers_as_text(kind, column.type):
        return _whole(column).cast(kind.arrow)
    return feature(view, name, column, kind)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks == 1 else whole


def cast(view: str, name: str, column: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in the declared type, no value changed but to the nearest float32. Raises: SourceMismatch."""
    whole = _whole(column)
    if whole.type == kind:
        return whole
    if not holds(kind, whole.type):
        raise SourceMismatch(view, name, f"is {whole.type} and is declared as {kind}")
    try:
        made = whole.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceMismatch(view, name, f"is {whole.type} and is declared as {kind}: {error}") from error
    if pa.types.is_floating(kind) and pc.sum(pc.is_inf(made)).as_py() != pc.sum(pc.is_inf(whole)).as_py():
        raise SourceMismatch(view, name, f"is {whole.type} and is declared as {kind}, which its greatest values exceed")
    return made


def micros(view: str, name: str, column: pa.ChunkedArray | pa.Array) -> Micros:
    """A time column as microseconds since 1970 UTC; naive times are UTC, nanoseconds are cut.

    Raises: SourceMismatch for another type (dates, texts) or a null.
    """
    if not pa.types.is_timestamp(column.type):
        raise SourceMismatch(view, name, f"is {column.type}; it must be a timestamp")
    if column.null_count:
        raise SourceMismatch(view, name, f"is null in {column.null_count} rows; each row needs a time")
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if column.type.unit == "ns":
        nanos: Micros = whole.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return nanos // 1000
    try:
        precise = whole.cast(pa.timestamp("us", tz=column.type.tz))
    except pa.ArrowInvalid as error:
        raise SourceMismatch(view, name, f"holds a time beyond the microseconds of 64 bits ({error})") from error
    times: Micros = precise.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return times
