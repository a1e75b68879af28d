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
from skewless.offline.tables.columns import check_columns, common_type, feature, join_key, stored_types, time_column
from skewless.offline.tables.source import TableSource
from skewless.offline.values.column_types import natural
from skewless.runtime.errors import SourceMismatch, TableRewritten


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
    from pyarrow.dataset import dataset  # noqa: PLC0415 - it imports pandas, which reading a window does not need

    schema = table_schema(view, source, files)
    try:
        data = dataset([str(file) for file in files], format="parquet", schema=schema)
        return history_of(view, source, data.to_table())
    except FileNotFoundError as error:
        raise TableRewritten(str(source.path)) from error
    except UNREADABLE as error:
        raise unreadable(source, error) from error


UNREADABLE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)
"""Errors of Arrow for a file whose values do not fit the table's types."""


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
    created = (
        event if created_column is None else time_column(source.view, created_column, table.column(created_column))
    )
    return _history(view, columns, event, created)


def table_schema(view: PlanView, source: TableSource, files: Sequence[Path]) -> pa.Schema:
    """The columns that a view uses from some files of its table, in declared types where the files differ.

    The newest file must have all columns; columns that an older file lacks are null there. Raises: SourceMismatch.
    """
    kinds: dict[str, ValueType | None] = {source.column(name): kind for name, kind in _view_types(view).items()}
    times = [source.timestamp_field]
    times += [source.created_timestamp_column] if source.created_timestamp_column else []
    kinds |= dict.fromkeys(times)
    newest = pq.read_schema(files[-1])
    check_columns(source.view, newest, kinds)
    from pyarrow.dataset import dataset  # noqa: PLC0415 - as above

    fragments = dataset([str(file) for file in files], format="parquet", schema=newest)
    keys = {source.column(key.key) for key in view.join_keys}
    types = stored_types(
        source.view, ((fragment.path, fragment.physical_schema) for fragment in fragments.get_fragments()), kinds, keys
    )
    return pa.schema([(name, common_type(source.view, name, stored, kinds[name])) for name, stored in types.items()])


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
