"""The entity frame of a retrieval that is called without one: every entity with a row in a time range, as of its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from skewless.contract.plan import PlanView
from skewless.contract.timestamp_arrays import timestamp_scalar
from skewless.contract.timestamps import to_micros
from skewless.contract.value_types import value_type
from skewless.feast.source_rows import rows_between
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.columns import feature
from skewless.offline.tables.source import TableSource


def entities_between(
    views: Sequence[PlanView], sources: Mapping[str, TableSource], start: datetime, end: datetime
) -> pa.Table:
    """The distinct join keys of the views' rows with start <= event time <= end, sorted, each with `end` as its time.

    A key that a view does not have is null in its rows, as in Feast's Spark store. Views without entities give one row.
    Raises: SourceMissing, SourceMismatch.
    """
    tables = [_keys(view, sources[view.name], start, end) for view in views if view.join_keys]
    table = pa.table({})
    if tables:
        table = pa.concat_tables(tables, promote_options="default")
        table = table.group_by(table.column_names).aggregate([]).sort_by([(n, "ascending") for n in table.column_names])
    rows = table.num_rows if tables else 1
    at = pa.repeat(timestamp_scalar(to_micros(end)), rows)
    return table.append_column(TIMESTAMP, at) if tables else pa.table({TIMESTAMP: at})


def _keys(view: PlanView, source: TableSource, start: datetime, end: datetime) -> pa.Table:
    columns = [source.column(key.key) for key in view.join_keys]
    rows = rows_between(source, columns, start, end).table
    keys = {
        key.name: feature(source.view, name, rows.column(name), value_type(key.dtype))
        for key, name in zip(view.join_keys, columns, strict=True)
    }
    table = pa.table(keys)
    return table.drop_null().group_by(table.column_names).aggregate([])
