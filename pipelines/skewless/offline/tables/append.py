"""Appends rows to a table as Parquet files of their own: what a table holds already is never written again.

    <table>/pushed-<microseconds>-<digest>.parquet                 a folder of files
    <table>/day=2013-10-01/pushed-<microseconds>-<digest>.parquet  a table in days: one part for each day of the rows
    <table>.parquet.parts/pushed-...                         a table that is one file: beside it

A part is visible whole, under its last name, once it is on the disk. Its name holds the digest of its content, so
that rows which are appended again, after a kill or by a client that tries once more, are there once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skewless.contract.plan import PlanView
from skewless.contract.timestamps import UtcMicros, date_array
from skewless.contract.value_types import ValueType, value_type
from skewless.files.table_parts import write_part_once
from skewless.offline.tables.columns import feature, time_column
from skewless.offline.tables.object_storage import RemoteReadOnly
from skewless.offline.tables.source import TableSource, parts_folder
from skewless.offline.values.column_types import holds, natural
from skewless.runtime.errors import SourceMismatch, SourceMissing


def append(source: TableSource, table: pa.Table, view: PlanView | None = None, *, now: UtcMicros) -> list[Path]:
    """Add the rows of `table` at `now`, whose columns are named as the source's table names them; the files that hold them.

    They get the types of the table, or as long as there is none of `view`: a number becomes a narrower one where it
    stays itself or is a fraction, a NaN among whole numbers (pandas' missing one) null. Columns that are new to the
    table are kept, and what the rows lack is null. In a table of days a kill can leave the parts of some days; the
    same call again completes them.
    Raises: SourceMismatch, before anything is written: for a time that is absent or null, a value that the type does
    not hold, and with `view` for a key or feature that is absent. RemoteReadOnly.
    """
    if source.foreign is not None:
        raise RemoteReadOnly(source.foreign)
    fitted = _fitted(source, table, view)
    return [write_part_once(folder, rows, now) for folder, rows in _placed(source, fitted)] if len(fitted) else []


def _fitted(source: TableSource, table: pa.Table, view: PlanView | None) -> pa.Table:
    if len(set(table.column_names)) < table.num_columns:
        raise SourceMismatch(source.view, "*", f"appears twice: the rows have {table.column_names}")
    times = [source.timestamp_field, *filter(None, [source.created_timestamp_column])]
    for name in times:
        time_column(source.view, name, _column(source, table, name))
    kinds = {} if view is None else _declared(source, view)
    held = _held(source)
    types = {name: natural(kind) for name, kind in kinds.items()} | {field.name: field.type for field in held}
    columns = {}
    for name in dict.fromkeys((*held.names, *kinds, *table.column_names)):
        if name in table.column_names or name in kinds:
            column = _column(source, table, name)
            columns[name] = column if name in times else _cast(source, name, column, types.get(name))
        else:
            columns[name] = pa.nulls(len(table), types[name])
    for name, kind in kinds.items():
        feature(source.view, name, columns[name], kind)
    return pa.table(columns)


def _declared(source: TableSource, view: PlanView) -> dict[str, ValueType]:
    fields = [*((key.key, key.dtype) for key in view.join_keys), *((one.name, one.dtype) for one in view.fields)]
    kinds = {source.column(name): value_type(dtype, feature=name) for name, dtype in fields}
    return kinds | ({source.column(view.deleted_field): value_type("Bool")} if view.deleted_field else {})


def _held(source: TableSource) -> pa.Schema:
    """The columns of the newest file, which are those that a reader goes by; none before the first."""
    try:
        return pq.read_schema(source.files()[-1])
    except SourceMissing:
        return pa.schema([])


def _column(source: TableSource, table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise SourceMismatch(source.view, name, f"is absent from the rows, which have {table.column_names}")
    return table.column(name)


def _cast(source: TableSource, name: str, column: pa.ChunkedArray, kind: pa.DataType | None) -> pa.ChunkedArray:
    if kind is None or column.type == kind:
        return column
    whole, fraction = pa.types.is_integer, pa.types.is_floating
    numbers = (whole(column.type) or fraction(column.type)) and (whole(kind) or fraction(kind))
    nested = pa.types.is_nested(column.type) and pa.types.is_nested(kind)
    said = f"is {kind} in the table and {column.type} in the rows"
    if not (numbers or nested or holds(kind, column.type)):
        raise SourceMismatch(source.view, name, said)
    if fraction(column.type) and whole(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceMismatch(source.view, name, f"{said}: {error}") from error


def _placed(source: TableSource, table: pa.Table) -> Iterator[tuple[Path, pa.Table]]:
    """The rows by the folder that they belong to."""
    if source.path.is_file():
        yield parts_folder(source.path), table
    elif not any(source.path.glob("day=*/*.parquet")):
        yield source.path, table
    else:
        days = date_array(time_column(source.view, source.timestamp_field, table.column(source.timestamp_field)))
        for day in days.unique().sort().to_pylist():
            yield source.path / f"day={day.isoformat()}", table.filter(pc.equal(days, pa.scalar(day)))
