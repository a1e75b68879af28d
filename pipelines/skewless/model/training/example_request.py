"""A row of a training set as a request to the predict server.

Held by tests/scaffold/test_shop.py.
"""

from __future__ import annotations

import shlex

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.columns import column_values
from skewless.contract.json_values import Json, to_json
from skewless.contract.value_types import value_type
from skewless.model.training.training_set import DATA, TrainingSet
from skewless.offline.join.point_in_time import spine_column

ADDRESS = "http://127.0.0.1:8080"
"""Where a server listens if nothing else is set."""


def example_request(model: str, training_set: TrainingSet) -> str:
    """A `curl` line with the keys and request inputs of the last row, of those that have all of them if there are any."""
    fields = (*training_set.plan.join_keys, *training_set.plan.request)
    rows = pq.read_table(training_set.folder / DATA, columns=[field.name for field in fields])
    complete = rows.drop_null()
    last = (complete if complete.num_rows else rows).slice(max((complete.num_rows or rows.num_rows) - 1, 0))
    row = {field.name: _value(last, field.name, field.dtype) for field in fields}
    body = orjson.dumps({"rows": [row], "explain": "features"}).decode()
    return f"curl -s {ADDRESS}/v1/models/{model}/predict -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _value(row: pa.Table, name: str, dtype: str) -> Json:
    kind = value_type(dtype)
    return to_json(kind, column_values(kind, spine_column(row, name, dtype)))[0]
