"""A feature view's table as the join reads it: keys and times of all rows that matter, then the features of a few.

Held by tests/offline/join/test_point_in_time.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.columns import Flags
from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.files.parquet_reader import ParquetTable, RowBatch, RowGroup
from skewless.offline.tables.absent_columns import AbsentColumn, absent_columns
from skewless.offline.tables.columns import (
    cast,
    common_type,
    feature,
    join_key,
    known_since,
    rows_of_file,
    stored_types,
    time_column,
)
from skewless.offline.tables.source import TableSource
from skewless.offline.values.column_types import numbers_as_text, plain_layout
from skewless.offline.values.packing import packable

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class KeyRows:
    """Join keys, times in microseconds and numbers of some rows."""

    keys: tuple[pa.Array, ...]
    event: UtcMicrosArray
    created: UtcMicrosArray
    rows: Numbers


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Tombstone flags and features of some rows, in the order of their numbers; columns as packed rows take them."""

    deleted: Flags
    columns: tuple[pa.Array, ...]


class ViewTable:
    """Opened on the files of a view: footers are read and types checked. `wanted` are the features to fetch.

    Raises: SourceMismatch naming the column that is absent or of a wrong type.
    """

    def __init__(self, view: PlanView, source: TableSource, files: Sequence[Path], wanted: Sequence[Field]) -> None:
        self.view, self.wanted = view, tuple(wanted)
        self.source = source
        self._keys = {source.column(key.key): value_type(key.dtype) for key in view.join_keys}
        self._fields = {field: source.column(field.name) for field in view.fields}
        self._deleted = source.column(view.deleted_field) if view.deleted_field else None
        self._times = list(dict.fromkeys(filter(None, (source.timestamp_field, source.created_timestamp_column))))
        self.key_columns = [*self._keys, *self._times]
        self.value_columns = [self._fields[field] for field in wanted] + ([self._deleted] if self._deleted else [])
        columns = list(dict.fromkeys([*self.key_columns, *self.value_columns]))
        self.parquet = ParquetTable(files, columns, source.timestamp_field, source.view)
        self._first_rows = self._rows_before()
        self.absent: list[AbsentColumn] = []
        if files:
            self._check_types()

    def _check_types(self) -> None:
        """Check the types of all columns, and note the columns that files lack. Raises: SourceMismatch."""
        kinds: dict[str, ValueType | None] = dict(self._keys)
        kinds |= {self._fields[f]: value_type(f.dtype, feature=f.name) for f in self.view.fields}
        kinds |= {self._deleted: value_type("Bool")} if self._deleted else {}
        kinds |= dict.fromkeys(self._times)
        names = [(file, schema.names) for file, schema in zip(self.parquet.files, self.parquet.schemas, strict=True)]
        self.absent = absent_columns(self.source, names, kinds)
        named = zip(map(str, self.parquet.files), self.parquet.schemas, strict=True)
        stored = stored_types(self.source.view, named, kinds, self._keys)
        for name, kind in kinds.items():
            common_type(self.source.view, name, stored[name], kind)

    def _rows_before(self) -> dict[int, int]:
        """The table's number of the first row of each file."""
        firsts: dict[int, int] = {}
        for group in self.parquet.row_groups:
            firsts.setdefault(group.file, group.first)
        return firsts

    def _in_file(self, group: RowGroup, numbers: Numbers) -> AbstractContextManager[None]:
        """Errors of a row name its file; `numbers` are the table's numbers of the rows that are read."""
        before = self._first_rows[group.file]
        return rows_of_file(self.parquet.files[group.file], lambda row: int(numbers[row]) - before)

    def stored(self, name: str) -> list[pa.DataType]:
        """The types in which the opened files hold a key or feature."""
        column = self.source.column(name)
        places = ((schema, schema.get_field_index(column)) for schema in self.parquet.schemas)
        return [schema.field(place).type for schema, place in places if place >= 0]

    def numbered(self, key: JoinKey) -> bool:
        """Whether a join key that is declared as text is whole numbers here."""
        stored = self.stored(key.key)
        return bool(stored) and all(numbers_as_text(value_type(key.dtype), dtype) for dtype in stored)

    def keys_and_times(self, run: Iterable[RowGroup], rows: int) -> Iterator[KeyRows]:
        """The rows of some row groups, put together to about `rows` at a time. Raises: SourceMismatch."""
        parts: list[KeyRows] = []
        stored = 0
        for group in run:
            for batch in self.parquet.batches(group, self.key_columns, rows):
                numbers = np.arange(batch.first, batch.first + len(batch.columns))
                with self._in_file(group, numbers):
                    parts.append(self._key_rows(batch, numbers))
                stored += len(batch.columns)
                if stored >= rows:
                    yield _joined(parts)
                    parts, stored = [], 0
        if parts:
            yield _joined(parts)

    def _key_rows(self, batch: RowBatch, numbers: Numbers) -> KeyRows:
        keys = tuple(self._key(batch, name, kind) for name, kind in self._keys.items())
        event, created = self._event(batch), self.source.created_timestamp_column
        if created is None or created not in batch.columns.schema.names:
            return KeyRows(keys, event, event, numbers)
        return KeyRows(
            keys, event, known_since(self.source.view, created, batch.columns.column(created), event), numbers
        )

    def fetch(self, run: Iterable[RowGroup], numbers: Numbers, fields: Sequence[Field], rows: int) -> FeatureRows:
        """The rows of these numbers (ascending, all of them in the row groups). Raises: SourceMismatch."""
        columns = list(dict.fromkeys([*(self._fields[field] for field in fields), *filter(None, [self._deleted])]))
        flags: list[Flags] = [np.zeros(0, bool)]
        parts: list[list[pa.Array]] = [[] for _ in fields]
        for group in run:
            for batch in self._batches(group, columns, rows):
                low, high = np.searchsorted(numbers, (batch.first, batch.first + len(batch.columns)))
                if low == high:
                    continue
                plain = pa.RecordBatch.from_arrays(
                    [plain_layout(c) for c in batch.columns.columns], batch.columns.schema.names
                )
                picked = RowBatch(batch.first, plain.take(pa.array(numbers[low:high] - batch.first)))
                with self._in_file(group, numbers[low:high]):
                    flags.append(self._flags(picked))
                    for part, field in zip(parts, fields, strict=True):
                        part.append(self._feature(picked, field))
        return FeatureRows(
            np.concatenate(flags), tuple(_concat(part, f) for part, f in zip(parts, fields, strict=True))
        )

    def _batches(self, group: RowGroup, columns: Sequence[str], rows: int) -> Iterator[RowBatch]:
        """The row group's batches; where it has none of the columns, one batch without columns."""
        stored = set(columns) & set(self.parquet.schemas[group.file].names)
        if stored:
            yield from self.parquet.batches(group, columns, rows)
            return
        nothing = pa.RecordBatch.from_struct_array(pa.array([{}] * group.rows, pa.struct([])))
        yield RowBatch(group.first, nothing)

    def _feature(self, batch: RowBatch, field: Field) -> pa.Array:
        name, kind = self._fields[field], value_type(field.dtype)
        place = batch.columns.schema.get_field_index(name)
        if place < 0:
            return pa.nulls(len(batch.columns), kind.arrow)
        column = feature(self.source.view, name, batch.columns.column(place), kind)
        return packable(self.view.stored_as, field.name, kind, column)

    def _key(self, batch: RowBatch, name: str, kind: ValueType) -> pa.Array:
        if name not in batch.columns.schema.names:
            return pa.nulls(len(batch.columns), kind.arrow)
        return join_key(self.source.view, name, batch.columns.column(name), kind)

    def _cast(self, batch: RowBatch, name: str, kind: ValueType) -> pa.Array:
        if name not in batch.columns.schema.names:
            return pa.nulls(len(batch.columns), kind.arrow)
        return cast(self.source.view, name, batch.columns.column(name), kind.arrow)

    def _flags(self, batch: RowBatch) -> Flags:
        if self._deleted is None:
            return np.zeros(len(batch.columns), bool)
        column = self._cast(batch, self._deleted, value_type("Bool")).fill_null(fill_value=False)
        flags: Flags = column.to_numpy(zero_copy_only=False)
        return flags

    def _event(self, batch: RowBatch) -> UtcMicrosArray:
        name = self.source.timestamp_field
        return time_column(self.source.view, name, batch.columns.column(name))


def joined(parts: Sequence[FeatureRows], fields: Sequence[Field]) -> FeatureRows:
    """The parts one after the other."""
    columns = zip(*(part.columns for part in parts), strict=True) if parts else [()] * len(fields)
    return FeatureRows(
        np.concatenate([np.zeros(0, bool), *(part.deleted for part in parts)]),
        tuple(_concat(column, field) for column, field in zip(columns, fields, strict=True)),
    )


def _concat(parts: Sequence[pa.Array], field: Field) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.array([], value_type(field.dtype).arrow)


def _joined(parts: Sequence[KeyRows]) -> KeyRows:
    if len(parts) == 1:
        return parts[0]
    return KeyRows(
        tuple(pa.concat_arrays(keys) for keys in zip(*(part.keys for part in parts), strict=True)),
        np.concatenate([part.event for part in parts]),
        np.concatenate([part.created for part in parts]),
        np.concatenate([part.rows for part in parts]),
    )
