"""The outputs of on-demand views in a historical retrieval.

Held by tests/feast/on_demand/test_visible_columns.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from feast import OnDemandFeatureView
from skewless.feast.on_demand.visible_columns import visible_columns


def with_outputs(
    table: pa.Table,
    views: Sequence[OnDemandFeatureView],
    join_keys: Mapping[str, Sequence[str]],
    requested: Collection[str],
    *,
    full: bool,
) -> pa.Table:
    """The table of a join with those outputs of the views that are `requested`, by their names in the result."""
    joined = table
    for view in views:
        seen = visible_columns(view, join_keys)
        outputs = view.transform_arrow(joined.select([name for name in joined.column_names if name in seen]), full)
        for name in outputs.column_names:
            if name in requested and name not in table.column_names:
                table = table.append_column(name, outputs.column(name))
    return table
