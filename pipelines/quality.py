"""Data-quality gates: a batch of a feature view's rows against the expectations beside the view's definition.

DuckDB counts, in one bounded memory: batches may be larger than that. Tombstones have no values, so only their keys and
times are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from scipy import stats

from pipelines.column_types import natural
from pipelines.errors import SourceMismatch
from pipelines.expectations import Bounds, Column, Expectations
from pipelines.offline import History, Source, feature, micros
from serving.contract.instants import from_micros, to_micros
from serving.contract.plan import View
from serving.contract.types import value_type

_EXAMPLES = 3
_CHANCE = 0.001
_DAY = timedelta(days=1)
_MEMORY = "512MB"
_EVENT, _CREATED, _DELETED = "__event", "__created", "__deleted"


class Breach(msgspec.Struct, frozen=True):
    """One expectation that a batch does not meet: `count` of `rows` rows are at fault, `examples` some of what they
    hold. `missing` says that rows are wanting (too few, or too old); the ones that are there are no worse for it.
    """

    gate: str
    column: str
    expected: str
    found: str
    count: int
    rows: int
    examples: tuple[str, ...] = ()
    missing: bool = False

    def __str__(self) -> str:
        such = f" (such as {', '.join(self.examples)})" if self.examples else ""
        return f"{self.gate}{' of ' + self.column if self.column else ''}: {self.found}{such}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Span:
    """The times that a batch is to cover, [start, end): `start` None is since the first of its rows."""

    start: datetime | None
    end: datetime


def rows_of(view: View, history: History) -> pa.Table:
    """A view's rows as the gates take them."""
    columns = {key.key: column for key, column in zip(view.join_keys, history.keys, strict=True)}
    columns |= {field.name: column for field, column in zip(view.fields, history.columns, strict=True)}
    times = {_EVENT: history.event, _CREATED: history.created, _DELETED: history.deleted}
    return pa.table(columns | {name: pa.array(values) for name, values in times.items()})


def rows_in(view: View, source: Source, table: pa.Table) -> pa.Table:
    """Rows of a view's source, before they are in it, as the gates take them. Raises: SourceMismatch."""
    kinds = {key.key: key.dtype for key in view.join_keys} | {field.name: field.dtype for field in view.fields}
    columns = {}
    for name, dtype in kinds.items():
        stored = source.column(name)
        if stored not in table.column_names:
            raise SourceMismatch(source.view, stored, f"is absent; the new rows have {table.column_names}")
        columns[name] = feature(source.view, stored, table.column(stored), value_type(dtype))
    event = micros(source.view, source.timestamp_field, table.column(source.timestamp_field))
    known = source.created_timestamp_column
    created = micros(source.view, known, table.column(known)) if known else event
    deleted = np.zeros(len(table), bool)
    if view.deleted_field:
        marks = table.column(source.column(view.deleted_field)).combine_chunks().fill_null(fill_value=False)
        deleted = marks.to_numpy(zero_copy_only=False)
    return pa.table(columns | {_EVENT: event, _CREATED: created, _DELETED: deleted})


def check(expected: Expectations, view: View, batch: Iterable[pa.Table], span: Span) -> list[Breach]:
    """What of the expectations a batch does not meet; it comes in parts of any size from `rows_of` or `rows_in`."""
    if not expected:
        return []
    names = [key.key for key in view.join_keys]
    judged = [column.name for column in expected.columns]
    schema = _schema(view, [*names, *(name for name in judged if name not in names)])
    with duckdb.connect(config={"memory_limit": _MEMORY, "threads": 1}) as counted:
        reader = pa.RecordBatchReader.from_batches(schema, _batches(batch, schema))
        counted.register("arriving", reader)
        counted.execute("CREATE TEMP TABLE batch AS SELECT * FROM arriving")
        rows = _one(counted, "SELECT count(*) FROM batch")
        found = list(_of_batch(counted, expected, rows, span))
        for column in expected.columns:
            found += _of_column(counted, column, schema.field(column.name).type)
        if expected.unique:
            found += _duplicates(counted, names, rows)
    return found


def _schema(view: View, names: Sequence[str]) -> pa.Schema:
    types = {key.key: key.dtype for key in view.join_keys} | {field.name: field.dtype for field in view.fields}
    fields = [pa.field(name, natural(value_type(types[name])) or pa.binary()) for name in names]
    times = [pa.field(_EVENT, pa.int64()), pa.field(_CREATED, pa.int64()), pa.field(_DELETED, pa.bool_())]
    return pa.schema([*fields, *times])


def _batches(batch: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for part in batch:
        yield from part.select(schema.names).cast(schema).to_batches()


def _one(counted: duckdb.DuckDBPyConnection, query: str) -> int:
    row = counted.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _of_batch(counted: duckdb.DuckDBPyConnection, expected: Expectations, rows: int, span: Span) -> Iterator[Breach]:
    """Volume and freshness."""
    begin = to_micros(span.start) if span.start else _one(counted, f"SELECT min({_EVENT}) FROM batch")
    days = (to_micros(span.end) - begin) / (_DAY / timedelta(microseconds=1)) if rows or span.start else 0.0
    limits = expected.rows_per_day
    if limits is not None:
        few = limits.low is not None and days >= 1 and rows < limits.low * days
        many = limits.high is not None and rows > limits.high * max(days, 1.0)
        if few or many:
            told = f"{rows:,} rows in {days:.1f} days"
            yield Breach("rows per day", "", str(limits), told, rows, rows, missing=few)
    age = expected.fresh_within
    # A span shorter than the age may well be quiet.
    if age is not None and days * _DAY >= age:
        newest = _one(counted, f"SELECT max({_EVENT}) FROM batch")
        if not rows or from_micros(newest) < span.end - age:
            told = f"the newest event is of {from_micros(newest):%Y-%m-%d %H:%M} UTC" if rows else "there is no row"
            wanted = f"one within {age} before {span.end:%Y-%m-%d %H:%M} UTC"
            yield Breach("freshness", "", wanted, told, 0, rows, missing=True)


def _of_column(counted: duckdb.DuckDBPyConnection, column: Column, kind: pa.DataType) -> Iterator[Breach]:
    name, there = _quoted(column.name), f"{_quoted(column.name)} IS NOT NULL"
    if pa.types.is_floating(kind):
        there = f"({there} AND NOT isnan({name}))"
    alive = f"FROM batch WHERE NOT {_DELETED}"
    rows = _one(counted, f"SELECT count(*) {alive}")
    known = _one(counted, f"SELECT count(*) {alive} AND {there}")
    if column.null_share is not None and _too_many(rows - known, rows, column.null_share):
        told = f"{(rows - known) / rows:.2%} are null ({rows - known:,} of {rows:,})"
        yield Breach("null share", column.name, f"at most {column.null_share:.2%}", told, rows - known, rows)
    if column.bounds is not None:
        yield from _outside(counted, column, kind, f"{alive} AND {there}", known)
    if column.values:
        listed = ", ".join("'" + value.replace("'", "''") + "'" for value in column.values)
        strange = f"{alive} AND {there} AND CAST({name} AS VARCHAR) NOT IN ({listed})"
        yield from _at_fault(counted, "values", column.name, ", ".join(column.values), strange, known, 0.0)


def _too_many(count: int, rows: int, share: float) -> bool:
    """Whether `count` of `rows` is more than a share allows, and more than chance would make of that share: of three
    rows one may well be of the two in a hundred.
    """
    return count > share * rows and float(stats.binom.sf(count - 1, rows, share)) < _CHANCE


def _outside(
    counted: duckdb.DuckDBPyConnection, column: Column, kind: pa.DataType, among: str, known: int
) -> Iterator[Breach]:
    bounds = cast(Bounds, column.bounds)
    name = _quoted(column.name)
    ends = [f"{name} < {_literal(bounds.low, kind)}"] if bounds.low is not None else []
    ends += [f"{name} > {_literal(bounds.high, kind)}"] if bounds.high is not None else []
    if ends:
        query = f"{among} AND ({' OR '.join(ends)})"
        yield from _at_fault(counted, "range", column.name, str(bounds), query, known, 1 - bounds.share)


def _literal(bound: float, kind: pa.DataType) -> str:
    """A bound in the column's own precision: the float32 nearest to 0.1 is within ..0.1, and no int64 is rounded."""
    if pa.types.is_floating(kind):
        return f"CAST({bound!r} AS {'FLOAT' if kind == pa.float32() else 'DOUBLE'})"
    return f"{bound:.0f}" if bound.is_integer() else repr(bound)


def _at_fault(
    counted: duckdb.DuckDBPyConnection, gate: str, column: str, expected: str, query: str, known: int, allowed: float
) -> Iterator[Breach]:
    count = _one(counted, f"SELECT count(*) {query}")
    if _too_many(count, known, allowed):
        worst = f"SELECT DISTINCT {_quoted(column)} AS value {query} ORDER BY value DESC LIMIT {_EXAMPLES}"
        examples = tuple(str(row[0]) for row in counted.execute(worst).fetchall())
        told = f"{count:,} of {known:,} values are outside"
        yield Breach(gate, column, expected, told, count, known, examples)


def _duplicates(counted: duckdb.DuckDBPyConnection, keys: Sequence[str], rows: int) -> Iterator[Breach]:
    columns = ", ".join([*map(_quoted, keys), _EVENT, _CREATED])
    groups = f"SELECT {columns}, count(*) AS times FROM batch GROUP BY ALL HAVING count(*) > 1"
    count = _one(counted, f"SELECT sum(times - 1) FROM ({groups})")
    if count:
        some = counted.execute(f"{groups} ORDER BY {columns} LIMIT {_EXAMPLES}").fetchall()
        examples = tuple(
            f"{', '.join(map(str, row[:-3]))} at {from_micros(row[-3]):%Y-%m-%d %H:%M:%S} UTC".removeprefix(" at ")
            for row in some
        )
        told = f"{count:,} of {rows:,} rows have the key and times of another"
        yield Breach(
            "uniqueness", ", ".join(keys), "one row for each key, event and created time", told, count, rows, examples
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
