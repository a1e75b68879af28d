"""Rows of a source as they are, between two event times: what Feast asks for when it reads a table by itself.

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
import pyarrow.parquet as pq

from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from skewless.contract.timestamps import (
    SECOND_US,
    UtcMicros,
    UtcMicrosArray,
    aware,
    nanos_to_micros,
    timestamp_scalar,
    to_micros,
)
from skewless.offline.join.entity_codes import EntityCodes
from skewless.offline.tables.columns import time_column
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMismatch

_NANOSECONDS_REACH = nanos_to_micros(2**63) - 1


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Rows of a table with their times in microseconds."""

    table: pa.Table
    event: UtcMicrosArray
    created: UtcMicrosArray


def schema_of(source: TableSource) -> pa.Schema:
    """The table's columns, by its newest file. Raises: SourceMissing."""
    return pq.read_schema(source.files()[-1])


def rows_between(
    source: TableSource, columns: Sequence[str], start: datetime | None, end: datetime | None
) -> SourceRows:
    """The rows with start <= event time <= end (None: open) and these columns (none: all), then their times.

    Raises: SourceMissing, SourceMismatch.
    """
    last = None if end is None else _instant(end)
    held = schema_of(source)
    times = [source.timestamp_field]
    times += [source.created_timestamp_column] if source.created_timestamp_column else []
    wanted = list(dict.fromkeys((*(columns or held.names), *times)))
    for name in wanted:
        if name not in held.names:
            raise SourceMismatch(source.view, name, f"is absent; the table has {held.names}")
    files = [str(file) for file in source.files(until=last)]
    near = _near(held.field(times[0]), start, last)
    table = ds.dataset(files, format="parquet", schema=held).to_table(columns=wanted, filter=near) if files else None
    if table is None:
        table = pa.schema([held.field(name) for name in wanted]).empty_table()
    event = time_column(source.view, times[0], table.column(times[0]))
    created = time_column(source.view, times[-1], table.column(times[-1]))
    inside = np.ones(len(event), bool)
    if start is not None:
        inside &= event >= _instant(start)
    if last is not None:
        inside &= event <= last
    return SourceRows(table.filter(pa.array(inside)), event[inside], created[inside])


def _near(time: pa.Field, start: datetime | None, last: int | None) -> pc.Expression | None:
    """Which rows are worth reading: a second more at both ends, so that no unit cuts what belongs to them."""
    if not pa.types.is_timestamp(time.type):
        return None
    near = pc.scalar(True)  # noqa: FBT003
    if start is not None and (first := _as(time.type, _instant(start) - SECOND_US)) is not None:
        near &= pc.field(time.name) >= first
    if last is not None and (after := _as(time.type, last + SECOND_US)) is not None:
        near &= pc.field(time.name) <= after
    return near


def _as(kind: pa.TimestampType, instant: UtcMicros) -> pa.Scalar | None:
    """None for an instant that 64 bits of nanoseconds do not reach."""
    if kind.unit == "ns" and abs(instant) > _NANOSECONDS_REACH:
        return None
    return timestamp_scalar(instant, kind.tz).cast(kind, safe=False)


def newest_of_each(rows: SourceRows, join_keys: Sequence[str]) -> pa.Table:
    """Of each entity the row with the greatest (event, created), of equal ones the last in the table.

    Rows with a null key are nobody's. Without join keys there is one entity, and Feast's dummy key is added.
    """
    keys = tuple(_whole(rows.table.column(name)) for name in join_keys)
    codes = EntityCodes(keys, len(rows.event)).codes
    order = np.lexsort((rows.created, rows.event, codes))
    ordered = codes[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(order) else np.zeros(0, bool)
    newest = order[last & (ordered >= 0)]
    return keyed(rows.table.take(pa.array(newest)), join_keys)


def keyed(table: pa.Table, join_keys: Sequence[str]) -> pa.Table:
    """Rows without join keys with Feast's dummy key, by which its own engine writes them online."""
    if join_keys:
        return table
    return table.append_column(DUMMY_ENTITY_ID, pa.repeat(DUMMY_ENTITY_VAL, table.num_rows))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _instant(time: datetime) -> UtcMicros:
    return to_micros(aware(time))
