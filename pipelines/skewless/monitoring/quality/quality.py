"""Data-quality checks: a batch of a feature view's rows against the expectations of the view's definition.

DuckDB counts in bounded memory, so that batches may be larger than memory. Tombstones have no values, so only their keys
and times are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from skewless.contract.plan import PlanView
from skewless.contract.timestamps import DAY_US, from_micros, to_micros
from skewless.contract.value_types import value_type
from skewless.definitions.expectations import ColumnExpectation, ViewExpectations
from skewless.offline.tables.columns import feature, known_since, time_column
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows
from skewless.offline.values.column_types import natural
from skewless.runtime.errors import SourceMismatch

if TYPE_CHECKING:
    import duckdb

_EXAMPLES = 3
_SIGNIFICANCE = 0.001
_DAY = timedelta(days=1)
_MEMORY = "512MB"
_EVENT, _CREATED, _DELETED = "__event", "__created", "__deleted"


class ExpectationBreach(msgspec.Struct, frozen=True):
    """An expectation that a batch does not meet: `count` of `rows` rows violate it, with some of their values as
    `examples`. `missing` marks breaches by absent rows (too few, or none that is fresh); the rows present are valid.
    """

    gate: str
    column: str
    expected: str
    observed: str = msgspec.field(name="found")
    count: int
    rows: int
    examples: tuple[str, ...] = ()
    missing: bool = False

    def __str__(self) -> str:
        subject = f"{self.gate} of {self.column}" if self.column else self.gate
        examples = f" (such as {', '.join(self.examples)})" if self.examples else ""
        return f"{subject}: {self.observed}{examples}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The event times that a batch should cover, [start, end); `start` None means from its first row on."""

    start: datetime | None
    end: datetime


def rows_of(view: PlanView, history: ViewRows) -> pa.Table:
    """Rows of a view's table as the table that `check` takes."""
    columns = {key.key: column for key, column in zip(view.join_keys, history.keys, strict=True)}
    columns |= {field.name: column for field, column in zip(view.fields, history.columns, strict=True)}
    times = {_EVENT: history.event, _CREATED: history.created, _DELETED: history.deleted}
    return pa.table(columns | {name: pa.array(values) for name, values in times.items()})


def rows_in(view: PlanView, source: TableSource, table: pa.Table) -> pa.Table:
    """Rows that are about to be written to a view's source, as the table that `check` takes. Raises: SourceMismatch."""
    kinds = {key.key: key.dtype for key in view.join_keys} | {field.name: field.dtype for field in view.fields}
    columns = {}
    for name, dtype in kinds.items():
        stored = source.column(name)
        if stored not in table.column_names:
            raise SourceMismatch(source.view, stored, f"is absent; the new rows have {table.column_names}")
        columns[name] = feature(source.view, stored, table.column(stored), value_type(dtype))
    event = time_column(source.view, source.timestamp_field, table.column(source.timestamp_field))
    known = source.created_timestamp_column
    created = known_since(source.view, known, table.column(known), event) if known else event
    deleted = np.zeros(len(table), bool)
    if view.deleted_field:
        marks = table.column(source.column(view.deleted_field)).combine_chunks().fill_null(fill_value=False)
        deleted = marks.to_numpy(zero_copy_only=False)
    return pa.table(columns | {_EVENT: event, _CREATED: created, _DELETED: deleted})


def check(
    expected: ViewExpectations, view: PlanView, batch: Iterable[pa.Table], span: TimeSpan
) -> list[ExpectationBreach]:
    """The expectations that a batch does not meet. The batch comes in parts of any size from `rows_of` or `rows_in`."""
    if not expected:
        return []
    keys = [key.key for key in view.join_keys]
    checked = [column.name for column in expected.columns]
    schema = _schema(view, [*keys, *(name for name in checked if name not in keys)])
    rules = [_rule(column, schema.field(column.name).type) for column in expected.columns]
    with _database().cursor() as cursor:
        reader = pa.RecordBatchReader.from_batches(schema, _batches(batch, schema))
        cursor.register("arriving", reader)
        cursor.execute("CREATE TEMP TABLE batch AS SELECT * FROM arriving")
        try:
            selected = {"rows": "count(*)", "begin": f"min({_EVENT})", "newest": f"max({_EVENT})"}
            selected |= {"alive": f"count(*) FILTER (NOT {_DELETED})"}
            for index, rule in enumerate(rules):
                conditions = {"known": rule.known, "outside": rule.outside, "unexpected": rule.unexpected}
                selected |= {f"{name} {index}": f"count(*) FILTER ({sql})" for name, sql in conditions.items() if sql}
            query = f"SELECT {', '.join(selected.values())} FROM batch"
            counts = dict(zip(selected, _row(cursor, query), strict=True))
            breaches = list(_batch_breaches(expected, counts, span))
            for index, rule in enumerate(rules):
                own = {name.partition(" ")[0]: n for name, n in counts.items() if name.endswith(f" {index}")}
                breaches += _column_breaches(cursor, rule, own, counts["alive"])
            return breaches + (list(_duplicates(cursor, keys, counts["rows"])) if expected.unique else [])
        finally:
            cursor.execute("DROP TABLE batch")


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    """One connection per process, since opening costs more than a day's check; each check has its own cursor and table."""
    import duckdb  # noqa: PLC0415 - gates are set up for every run, and most have nothing to check

    return duckdb.connect(config={"memory_limit": _MEMORY, "threads": 1})


def _schema(view: PlanView, names: Sequence[str]) -> pa.Schema:
    types = {key.key: key.dtype for key in view.join_keys} | {field.name: field.dtype for field in view.fields}
    fields = [pa.field(name, natural(value_type(types[name])) or pa.binary()) for name in names]
    times = [pa.field(_EVENT, pa.int64()), pa.field(_CREATED, pa.int64()), pa.field(_DELETED, pa.bool_())]
    return pa.schema([*fields, *times])


def _batches(batch: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for part in batch:
        yield from part.select(schema.names).cast(schema).to_batches()


def _row(cursor: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    """The numbers of a query's only row; null becomes 0."""
    return tuple(int(value or 0) for value in cursor.execute(query).fetchall()[0])


def _batch_breaches(
    expected: ViewExpectations, counts: Mapping[str, int], span: TimeSpan
) -> Iterator[ExpectationBreach]:
    """Breaches of volume and freshness."""
    rows, newest = counts["rows"], counts["newest"]
    begin = to_micros(span.start) if span.start else counts["begin"]
    days = (to_micros(span.end) - begin) / DAY_US if rows or span.start else 0.0
    limits = expected.rows_per_day
    if limits is not None:
        few = limits.low is not None and days >= 1 and rows < limits.low * days
        many = limits.high is not None and rows > limits.high * max(days, 1.0)
        if few or many:
            yield ExpectationBreach(
                "rows per day", "", str(limits), f"{rows:,} rows in {days:.1f} days", rows, rows, missing=few
            )
    age = expected.fresh_within
    # A span shorter than the age may have no rows at all.
    if age is not None and days * _DAY >= age and (not rows or from_micros(newest) < span.end - age):
        observed = f"the newest event is of {from_micros(newest):%Y-%m-%d %H:%M} UTC" if rows else "there is no row"
        required = f"one within {age} before {span.end:%Y-%m-%d %H:%M} UTC"
        yield ExpectationBreach("freshness", "", required, observed, 0, rows, missing=True)


@dataclass(frozen=True, slots=True)
class _SqlRule:
    """A column's expectations as SQL conditions: the row has a value, one out of bounds, one that is not in the set."""

    column: ColumnExpectation
    known: str
    outside: str
    unexpected: str


def _rule(column: ColumnExpectation, kind: pa.DataType) -> _SqlRule:
    name, bounds = _quoted(column.name), column.bounds
    known = f"NOT {_DELETED} AND {name} IS NOT NULL" + (f" AND NOT isnan({name})" if pa.types.is_floating(kind) else "")
    ends = [f"{name} < {_literal(bounds.low, kind)}"] if bounds and bounds.low is not None else []
    ends += [f"{name} > {_literal(bounds.high, kind)}"] if bounds and bounds.high is not None else []
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in column.values)
    return _SqlRule(
        column,
        known,
        f"{known} AND ({' OR '.join(ends)})" if ends else "",
        f"{known} AND CAST({name} AS VARCHAR) NOT IN ({listed})" if listed else "",
    )


def _literal(bound: float, kind: pa.DataType) -> str:
    """A bound in the column's precision: the float32 nearest to 0.1 is within ..0.1, and no int64 is rounded."""
    if pa.types.is_floating(kind):
        return f"CAST({bound!r} AS {'FLOAT' if kind == pa.float32() else 'DOUBLE'})"
    return f"{bound:.0f}" if bound.is_integer() else repr(bound)


def _column_breaches(
    cursor: duckdb.DuckDBPyConnection, rule: _SqlRule, counts: Mapping[str, int], alive: int
) -> Iterator[ExpectationBreach]:
    column, known = rule.column, counts["known"]
    nulls = alive - known
    if column.null_share is not None and _too_many(nulls, alive, column.null_share):
        observed = f"{nulls / alive:.2%} are null ({nulls:,} of {alive:,})"
        yield ExpectationBreach("null share", column.name, f"at most {column.null_share:.2%}", observed, nulls, alive)
    allowed = 1 - column.bounds.share if column.bounds else 0.0
    for gate, count, share, condition, required in (
        ("range", counts.get("outside", 0), allowed, rule.outside, str(column.bounds)),
        ("values", counts.get("unexpected", 0), 0.0, rule.unexpected, ", ".join(column.values)),
    ):
        if _too_many(count, known, share):
            query = (
                f"SELECT DISTINCT {_quoted(column.name)} FROM batch WHERE {condition} ORDER BY 1 DESC LIMIT {_EXAMPLES}"
            )
            examples = tuple(str(value) for (value,) in cursor.execute(query).fetchall())
            observed = f"{count:,} of {known:,} values are outside"
            yield ExpectationBreach(gate, column.name, required, observed, count, known, examples)


def _too_many(count: int, rows: int, share: float) -> bool:
    """Whether `count` of `rows` exceeds a share by more than chance explains (binomial test): of three rows, one may well
    belong to the two in a hundred.
    """
    if count <= share * rows:
        return False
    from scipy import stats  # noqa: PLC0415 - as duckdb above, for rows that break an expectation alone

    return float(stats.binom.sf(count - 1, rows, share)) < _SIGNIFICANCE


def _duplicates(cursor: duckdb.DuckDBPyConnection, keys: Sequence[str], rows: int) -> Iterator[ExpectationBreach]:
    columns = ", ".join([*map(_quoted, keys), _EVENT, _CREATED])
    (distinct,) = _row(cursor, f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM batch)")
    if distinct < rows:
        groups = f"SELECT {columns} FROM batch GROUP BY ALL HAVING count(*) > 1"
        repeated = cursor.execute(f"{groups} ORDER BY ALL LIMIT {_EXAMPLES}").fetchall()
        examples = tuple(
            f"{', '.join(map(str, row[:-2]))} at {from_micros(row[-2]):%Y-%m-%d %H:%M:%S} UTC".removeprefix(" at ")
            for row in repeated
        )
        surplus = rows - distinct
        observed = f"{surplus:,} of {rows:,} rows have the key and times of another"
        required = "one row for each key, event and created time"
        yield ExpectationBreach("uniqueness", ", ".join(keys), required, observed, surplus, rows, examples)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
