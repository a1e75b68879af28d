"""The entity frame of a retrieval without one: every entity that a time range knows of, as of the range's end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from skewless.contract.plan import PlanView
from skewless.contract.timestamps import timestamp_scalar, to_micros
from skewless.contract.value_types import value_type
from skewless.feast.source_rows import rows_between
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.columns import feature
from skewless.offline.tables.source import TableSource


def entities_between(
    views: Sequence[PlanView], sources: Mapping[str, TableSource], start: datetime, end: datetime
) -> pa.Table:
    """Each combination of join keys that a row of a view has with start <= event time <= end, once, by key, and `end`.

    A key that a view does not have is null in its rows, as in Feast's Spark store. Views of no entity alone are one row.
    Raises: SourceMissing, SourceMismatch.
    """
    found = [_keys(view, sources[view.name], start, end) for view in views if view.join_keys]
    table = pa.table({})
    if found:
        table = pa.concat_tables(found, promote_options="default")
        table = table.group_by(table.column_names).aggregate([]).sort_by([(n, "ascending") for n in table.column_names])
    rows = table.num_rows if found else 1
    at = pa.repeat(timestamp_scalar(to_micros(end)), rows)
    return table.append_column(TIMESTAMP, at) if found else pa.table({TIMESTAMP: at})


def _keys(view: PlanView, source: TableSource, start: datetime, end: datetime) -> pa.Table:
    held = [source.column(key.key) for key in view.join_keys]
    rows = rows_between(source, held, start, end).table
    columns = {
        key.name: feature(source.view, name, rows.column(name), value_type(key.dtype))
        for key, name in zip(view.join_keys, held, strict=True)
    }
    table = pa.table(columns)
    return table.drop_null().group_by(table.column_names).aggregate([])
