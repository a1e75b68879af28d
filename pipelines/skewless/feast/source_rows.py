"""Rows of a source between two event times, without a join: for Feast's own reads of a table.

Held by tests/feast/test_offline_store.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from skewless.contract.timestamp_arrays import UtcMicrosArray, timestamp_scalar
from skewless.contract.timestamps import SECOND_US, UtcMicros, aware, nanos_to_micros, to_micros
from skewless.offline.join.entity_codes import EntityCodes
from skewless.offline.tables.columns import known_since, time_column
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema
from skewless.offline.values.column_types import plain_type
from skewless.runtime.errors import SourceMismatch

_NANOSECOND_LIMIT = nanos_to_micros(2**63) - 1


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Rows of a table with their times in microseconds."""

    table: pa.Table
    event: UtcMicrosArray
    created: UtcMicrosArray


def rows_between(
    source: TableSource, columns: Sequence[str], start: datetime | None, end: datetime | None
) -> SourceRows:
    """The rows with start <= event time <= end (None: unbounded), with `columns` (empty: all) and their times.

    Raises: SourceMissing, SourceMismatch.
    """
    last = None if end is None else _micros(end)
    # Arrow has no kernels that filter views of texts.
    schema = pa.schema([field.with_type(plain_type(field.type)) for field in newest_schema(source)])
    times = [source.timestamp_field]
    times += [source.created_timestamp_column] if source.created_timestamp_column else []
    wanted = list(dict.fromkeys((*(columns or schema.names), *times)))
    for name in wanted:
        if name not in schema.names:
            raise SourceMismatch(source.view, name, f"is absent; the table has {schema.names}")
    files = [str(file) for file in source.files(until=last)]
    filter_ = _time_filter(schema.field(times[0]), start, last)
    table = (
        ds.dataset(files, format="parquet", schema=schema).to_table(columns=wanted, filter=filter_) if files else None
    )
    if table is None:
        table = pa.schema([schema.field(name) for name in wanted]).empty_table()
    event = time_column(source.view, times[0], table.column(times[0]))
    created = known_since(source.view, times[-1], table.column(times[-1]), event)
    inside = np.ones(len(event), bool)
    if start is not None:
        inside &= event >= _micros(start)
    if last is not None:
        inside &= event <= last
    return SourceRows(table.filter(pa.array(inside)), event[inside], created[inside])


def _time_filter(time: pa.Field, start: datetime | None, last: int | None) -> pc.Expression | None:
    """A filter that Parquet can push down: the range widened by a second at both ends, so that no unit rounds a row out."""
    if not pa.types.is_timestamp(time.type):
        return None
    expression = pc.scalar(True)  # noqa: FBT003
    if start is not None and (first := _time_scalar(time.type, _micros(start) - SECOND_US)) is not None:
        expression &= pc.field(time.name) >= first
    if last is not None and (after := _time_scalar(time.type, last + SECOND_US)) is not None:
        expression &= pc.field(time.name) <= after
    return expression


def _time_scalar(kind: pa.TimestampType, instant: UtcMicros) -> pa.Scalar | None:
    """The instant as a scalar of a column's type; None where it is out of range for 64-bit nanoseconds."""
    if kind.unit == "ns" and abs(instant) > _NANOSECOND_LIMIT:
        return None
    return timestamp_scalar(instant, kind.tz).cast(kind, safe=False)


def newest_of_each(rows: SourceRows, join_keys: Sequence[str]) -> pa.Table:
    """Each entity's row with the greatest (event, created); of equal ones the last in the table.

    Rows with a null key are left out. Without join keys there is one entity, and Feast's dummy key is added.
    """
    keys = tuple(_combined(rows.table.column(name)) for name in join_keys)
    codes = EntityCodes(keys, len(rows.event)).codes
    order = np.lexsort((rows.created, rows.event, codes))
    ordered = codes[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(order) else np.zeros(0, bool)
    newest = order[last & (ordered >= 0)]
    return with_dummy_key(rows.table.take(pa.array(newest)), join_keys)


def with_dummy_key(table: pa.Table, join_keys: Sequence[str]) -> pa.Table:
    """The table, and where it has no join keys Feast's dummy key, by which Feast's engine writes it online."""
    if join_keys:
        return table
    return table.append_column(DUMMY_ENTITY_ID, pa.repeat(DUMMY_ENTITY_VAL, table.num_rows))


def _combined(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _micros(time: datetime) -> UtcMicros:
    return to_micros(aware(time))
