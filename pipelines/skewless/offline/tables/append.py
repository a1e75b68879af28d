"""Appends rows to a table as separate Parquet files: stored rows are never rewritten.

    <table>/pushed-<microseconds>-<digest>.parquet                 a folder of files
    <table>/day=2013-10-01/pushed-<microseconds>-<digest>.parquet  a table in days: one part for each day of the rows
    <table>.parquet.parts/pushed-...                         a table that is one file: beside it

A part appears under its final name only when it is complete and durable. Its name contains the digest of its content, so
rows that are appended again, after a kill or by a client that retries, are stored once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.plan import PlanView
from skewless.contract.timestamp_arrays import date_array, timestamp_array
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import ValueType, value_type
from skewless.files.table_parts import write_part_once
from skewless.offline.tables.columns import feature, in_common_type, known_since, time_column
from skewless.offline.tables.object_storage import RemoteReadOnly
from skewless.offline.tables.source import TableSource, parts_folder
from skewless.offline.tables.view_rows import newest_schema
from skewless.offline.values.column_types import (
    holds,
    is_text,
    natural,
    plain_table,
    plain_type,
    takes_value,
    text_type,
)
from skewless.offline.values.exact_values import InexactValue, convertible, exact
from skewless.runtime.errors import SourceMismatch, SourceMissing


def append(source: TableSource, table: pa.Table, view: PlanView | None = None, *, now: UtcMicros) -> list[Path]:
    """Append the rows of `table`, received at `now`; the files written. The columns are named as in the source's table.

    Columns are cast to the types of the stored table, or, if it has no file yet, to those of `view`. A number is cast to a
    narrower type if its value is unchanged or it is a fraction; a NaN in a column of whole numbers (a missing value of
    pandas) becomes null. New columns are added to the table; columns that the rows lack are null. In a table of days a kill
    can leave the parts of some days; repeating the call completes them.
    Raises: SourceMismatch, before anything is written: for a time that is absent or null, a value outside its type, and
    with `view` for an absent key or feature. RemoteReadOnly.
    """
    if source.foreign is not None:
        raise RemoteReadOnly(source.foreign)
    fitted = _fitted(source, plain_table(table), view)
    return [write_part_once(folder, rows, now) for folder, rows in _by_folder(source, fitted)] if len(fitted) else []


def _fitted(source: TableSource, table: pa.Table, view: PlanView | None) -> pa.Table:
    if len(set(table.column_names)) < table.num_columns:
        raise SourceMismatch(source.view, "*", f"appears twice: the rows have {table.column_names}")
    times = [source.timestamp_field, *filter(None, [source.created_timestamp_column])]
    event = time_column(source.view, source.timestamp_field, _column(source, table, source.timestamp_field))
    if (created := source.created_timestamp_column) is not None:
        known = known_since(source.view, created, _column(source, table, created), event)
        if table.column(created).null_count:
            table = table.set_column(table.column_names.index(created), created, timestamp_array(known))
    kinds = {} if view is None else _declared(source, view)
    stored = _stored_schema(source)
    types = {name: natural(kind) for name, kind in kinds.items()} | {
        field.name: plain_type(field.type) for field in stored
    }
    columns = {}
    for name in dict.fromkeys((*stored.names, *kinds, *table.column_names)):
        if name in table.column_names or name in kinds:
            column = _column(source, table, name)
            columns[name] = column if name in times else _cast(source, name, column, types.get(name), kinds.get(name))
        else:
            columns[name] = pa.nulls(len(table), types[name])
    for name, kind in kinds.items():
        feature(source.view, name, columns[name], kind)
    return pa.table(columns)


def _declared(source: TableSource, view: PlanView) -> dict[str, ValueType]:
    fields = [*((key.key, key.dtype) for key in view.join_keys), *((field.name, field.dtype) for field in view.fields)]
    kinds = {source.column(name): value_type(dtype, feature=name) for name, dtype in fields}
    return kinds | ({source.column(view.deleted_field): value_type("Bool")} if view.deleted_field else {})


def _stored_schema(source: TableSource) -> pa.Schema:
    """The columns of the table; none before its first file."""
    try:
        return newest_schema(source)
    except SourceMissing:
        return pa.schema([])


def _column(source: TableSource, table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise SourceMismatch(source.view, name, f"is absent from the rows, which have {table.column_names}")
    return table.column(name)


def _cast(
    source: TableSource, name: str, column: pa.ChunkedArray, kind: pa.DataType | None, declared: ValueType | None
) -> pa.ChunkedArray | pa.Array:
    if kind is None or column.type == kind:
        return column
    if (
        declared is not None
        and (natural(declared) is None or text_type(declared))
        and is_text(column.type) != is_text(kind)
    ):
        return in_common_type(source.view, name, column, declared, kind)
    is_integer, is_float = pa.types.is_integer, pa.types.is_floating
    numbers = (is_integer(column.type) or is_float(column.type)) and (is_integer(kind) or is_float(kind))
    if not numbers and declared is not None and _stored_exactly(declared, kind, column.type):
        return _stored_otherwise(source, name, column, kind, declared)
    nested = pa.types.is_nested(column.type) and pa.types.is_nested(kind)
    reason = f"is {kind} in the table and {column.type} in the rows"
    if not (numbers or nested or holds(kind, column.type)):
        raise SourceMismatch(source.view, name, reason)
    try:
        return pa.chunked_array([exact(chunk, kind) for chunk in column.chunks], kind) if numbers else column.cast(kind)
    except InexactValue as error:
        raise SourceMismatch(source.view, name, f"{reason}, which does not hold {error.text}") from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceMismatch(source.view, name, f"{reason}: {error}") from error


def _stored_exactly(declared: ValueType, stored: pa.DataType, given: pa.DataType) -> bool:
    """Whether the table's type is another than the declared one, and both it and the rows' may hold the values exactly."""
    fixed = declared.encoding == "fixed" and convertible(declared.arrow, stored)
    return fixed and stored != declared.arrow and takes_value(declared, given)


def _stored_otherwise(
    source: TableSource, name: str, column: pa.ChunkedArray, kind: pa.DataType, declared: ValueType
) -> pa.Array:
    """A column in the table's type, which is another than the declared one, where it is read as the same values again."""
    values = feature(source.view, name, column, declared)
    try:
        stored = values.cast(kind)
        with suppress(SourceMismatch):
            if feature(source.view, name, stored, declared).equals(values):
                return stored
        reason = "and does not hold all of the rows' values"
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = f"and {column.type} in the rows: {error}"
    raise SourceMismatch(source.view, name, f"is {kind} in the table {reason}")


def _by_folder(source: TableSource, table: pa.Table) -> Iterator[tuple[Path, pa.Table]]:
    """The folders to write to, with their rows."""
    if source.path.is_file():
        yield parts_folder(source.path), table
    elif not any(source.path.glob("day=*/*.parquet")):
        yield source.path, table
    else:
        days = date_array(time_column(source.view, source.timestamp_field, table.column(source.timestamp_field)))
        for day in days.unique().sort().to_pylist():
            yield source.path / f"day={day.isoformat()}", table.filter(pc.equal(days, pa.scalar(day)))
