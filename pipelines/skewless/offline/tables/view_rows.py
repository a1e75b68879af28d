"""The history of a feature view, read from its Parquet files into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.plan import PlanView
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.files.parquet_reader import readable
from skewless.offline.tables.absent_columns import AbsentColumn, absent_columns, column_names, newest_files
from skewless.offline.tables.columns import (
    common_type,
    feature,
    in_common_type,
    join_key,
    known_since,
    rows_of_file,
    stored_types,
    time_column,
)
from skewless.offline.tables.source import TableSource
from skewless.offline.values.column_types import natural
from skewless.runtime.errors import SourceMismatch, SourceMissing, TableRewritten


@dataclass(frozen=True, slots=True)
class ViewRows:
    """Rows of a view, in no order: join keys, times in microseconds, tombstone flags, and the view's features
    in its order as Arrow columns. Features that are stored online as Feast Value messages have the type of the table;
    `packable` converts the values that are used to bytes.
    """

    keys: tuple[pa.Array, ...]
    event: UtcMicrosArray
    created: UtcMicrosArray
    deleted: Flags
    columns: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: NDArray[np.int64] | Flags) -> ViewRows:
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
        empty = {name: pa.array([], natural(kind) or pa.null()) for name, kind in _view_types(view).items()}
        none = np.zeros(0, np.int64)
        return _history(view, empty, none, none)
    schema = table_schema(view, source, files)
    return _joined([_read_file(view, source, file, schema) for file in files])


def _read_file(view: PlanView, source: TableSource, file: Path, schema: pa.Schema) -> ViewRows:
    try:
        with pq.ParquetFile(file) as opened:
            present = set(opened.schema_arrow.names)
            rows = opened.read([name for name in schema.names if name in present])
        with rows_of_file(file, lambda row: row):
            return history_of(view, source, in_schema(view, source, schema, rows))
    except FileNotFoundError as error:
        raise TableRewritten(str(source.path)) from error
    except UNREADABLE as error:
        raise unreadable(source, error) from error


def in_schema(view: PlanView, source: TableSource, schema: pa.Schema, rows: pa.Table | pa.RecordBatch) -> pa.Table:
    """A file's rows with the columns of `table_schema`: null where the file lacks one; of values that are stored as messages
    in the schema's type, of all others in the file's.
    """
    one_type = {source.column(name): kind for name, kind in _view_types(view).items() if kind.encoding == "value"}
    columns, stored = {}, frozenset(rows.schema.names)
    for field in schema:
        if field.name not in stored:
            columns[field.name] = pa.nulls(len(rows), field.type)
        else:
            column = rows.column(field.name)
            kind = one_type.get(field.name)
            columns[field.name] = (
                column if kind is None else in_common_type(source.view, field.name, column, kind, field.type)
            )
    return pa.table(columns)


def _joined(parts: Sequence[ViewRows]) -> ViewRows:
    if len(parts) == 1:
        return parts[0]
    return ViewRows(
        tuple(pa.concat_arrays(keys) for keys in zip(*(part.keys for part in parts), strict=True)),
        np.concatenate([part.event for part in parts]),
        np.concatenate([part.created for part in parts]),
        np.concatenate([part.deleted for part in parts]),
        tuple(pa.concat_arrays(columns) for columns in zip(*(part.columns for part in parts), strict=True)),
    )


UNREADABLE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)
"""Errors of Arrow for a file whose values do not fit the table's types."""


def schema_of(source: TableSource, file: Path) -> pa.Schema:
    """The schema of a file. Raises: TableRewritten, SourceUnreadable."""
    with readable(source.view, file):
        return pq.read_schema(file)


def newest_schema(source: TableSource) -> pa.Schema:
    """The columns that a table has now: those of its newest file, and of its newest pushed part, which may be older or newer.

    Raises: SourceMissing, TableRewritten, SourceUnreadable.
    """
    fields: dict[str, pa.Field] = {}
    for file in newest_files(source):
        fields = {field.name: field for field in schema_of(source, file)} | fields
    return pa.schema(fields.values())


def unreadable(source: TableSource, error: Exception) -> SourceMismatch:
    return SourceMismatch(source.view, "*", f"does not have one type in all files ({error})")


def history_of(view: PlanView, source: TableSource, table: pa.Table) -> ViewRows:
    """The history from a table that was read with `table_schema`. Raises: SourceMismatch."""
    columns = {}
    keys = {key.key for key in view.join_keys}
    for name, kind in _view_types(view).items():
        stored = source.column(name)
        read = join_key if name in keys else feature
        columns[name] = read(source.view, stored, table.column(stored), kind)
    event = time_column(source.view, source.timestamp_field, table.column(source.timestamp_field))
    created_column = source.created_timestamp_column
    created = event
    if created_column is not None:
        created = known_since(source.view, created_column, table.column(created_column), event)
    return _history(view, columns, event, created)


def table_schema(view: PlanView, source: TableSource, files: Sequence[Path]) -> pa.Schema:
    """The columns that a view uses from some files of its table, with the types that `in_schema` gives them.

    Columns that were added to the table later are null in files that lack them. Raises: SourceMismatch.
    """
    kinds = _column_types(view, source)
    absent_from(view, source, files)
    keys = {source.column(key.key) for key in view.join_keys}
    schemas = ((str(file), schema_of(source, file)) for file in files)
    types = stored_types(source.view, schemas, kinds, keys)
    return pa.schema([(name, common_type(source.view, name, stored, kinds[name])) for name, stored in types.items()])


def absent_from(view: PlanView, source: TableSource, files: Sequence[Path]) -> list[AbsentColumn]:
    """The columns of a view that some of these files of its table lack. Raises: as `absent_columns`."""
    named = [(file, column_names(source.view, file)) for file in files]
    return absent_columns(source, named, _column_types(view, source))


def _column_types(view: PlanView, source: TableSource) -> dict[str, ValueType | None]:
    """The table's columns that a view uses: of keys, features and tombstone flag with their types; then the times."""
    kinds: dict[str, ValueType | None] = {source.column(name): kind for name, kind in _view_types(view).items()}
    return kinds | dict.fromkeys(filter(None, (source.timestamp_field, source.created_timestamp_column)))


def unreadable_reason(view: PlanView, source: TableSource) -> str | None:
    """Why the newest files of a view's table cannot be read by this definition; None where they can."""
    try:
        table_schema(view, source, newest_files(source))
    except (SourceMismatch, SourceMissing) as error:
        return str(error)
    return None


def _view_types(view: PlanView) -> dict[str, ValueType]:
    """The types of a view's keys, features and tombstone flag, by their names in the view."""
    types = {key.key: value_type(key.dtype) for key in view.join_keys}
    types |= {field.name: value_type(field.dtype, feature=field.name) for field in view.fields}
    if view.deleted_field:
        types[view.deleted_field] = value_type("Bool")
    return types


def _history(view: PlanView, columns: dict[str, pa.Array], event: UtcMicrosArray, created: UtcMicrosArray) -> ViewRows:
    if view.deleted_field:
        deleted = columns[view.deleted_field].fill_null(fill_value=False).to_numpy(zero_copy_only=False)
    else:
        deleted = np.zeros(len(event), bool)
    keys = tuple(columns[key.key] for key in view.join_keys)
    return ViewRows(keys, event, created, deleted, tuple(columns[field.name] for field in view.fields))
