"""What was used for each prediction: the served log's rows, from the server to the audit.

One table per model version. Columns: `request_id`, `row` (position in the request), `served_at`, `model`, `version`;
`entity:NAME` and `request:NAME` as sent; per view `VIEW:status`, `VIEW:event_timestamp`, `VIEW:created_timestamp`
(null where nothing was found); `model_input` (float32 list, the exact input); `score`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.contract.assembler import Admitted, Matrix
from serving.contract.bundle import MODEL_INPUT, SCORE
from serving.contract.freshness import MISSING, Micros
from serving.contract.keys import KeyValue
from serving.contract.plan import Plan
from serving.contract.row import Values
from serving.contract.types import ValueType, value_type

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Served:
    """One answered request of n rows. `served_at` is in microseconds; `entities` are columns by join key."""

    request_id: str
    served_at: int
    entities: Mapping[str, Sequence[KeyValue | None]]
    request: Mapping[str, Values]
    views: Mapping[str, Admitted]
    matrix: Matrix
    scores: NDArray[np.float32]


def served_schema(plan: Plan) -> pa.Schema:
    """The columns of the served log of a plan."""
    fields = [
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("served_at", TIMESTAMP),
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
    ]
    fields += [pa.field(f"entity:{key.name}", value_type(key.dtype).arrow) for key in plan.join_keys]
    fields += [pa.field(f"request:{field.name}", value_type(field.dtype).arrow) for field in plan.request]
    for view in plan.views:
        fields.append(pa.field(f"{view.name}:status", pa.uint8()))
        fields.append(pa.field(f"{view.name}:event_timestamp", TIMESTAMP))
        fields.append(pa.field(f"{view.name}:created_timestamp", TIMESTAMP))
    fields.append(pa.field(MODEL_INPUT, pa.list_(pa.float32(), len(plan.columns))))
    fields.append(pa.field(SCORE, pa.float32()))
    return pa.schema(fields)


def served_batch(plan: Plan, model: str, version: str, served: Served) -> pa.RecordBatch:
    """One answered request as rows of the served log."""
    rows = len(served.scores)
    columns: list[pa.Array] = [
        pa.repeat(served.request_id, rows),
        pa.array(np.arange(rows, dtype=np.int32)),
        pa.array(np.full(rows, served.served_at)).cast(TIMESTAMP),
        pa.repeat(model, rows),
        pa.repeat(version, rows),
    ]
    columns += [pa.array(served.entities[k.name], value_type(k.dtype).arrow) for k in plan.join_keys]
    columns += [to_arrow(value_type(f.dtype), served.request[f.name]) for f in plan.request]
    for view in plan.views:
        admitted = served.views[view.name]
        columns.append(pa.array(admitted.status))
        columns += [_instants(admitted.rows.event), _instants(admitted.rows.created)]
    columns.append(pa.FixedSizeListArray.from_arrays(pa.array(served.matrix.reshape(-1)), len(plan.columns)))
    columns.append(pa.array(served.scores))
    return pa.RecordBatch.from_arrays(columns, schema=served_schema(plan))


def _instants(times: Micros) -> pa.Array:
    return pa.array(times, mask=times == MISSING).cast(TIMESTAMP)


def to_arrow(kind: ValueType, values: Values) -> pa.Array:
    """Values as an Arrow array of the type, null where not valid; every bit of a number is kept."""
    if kind.text:
        return pa.array(values.data, kind.arrow, mask=~values.valid)
    plain = pa.array(values.data, mask=~values.valid)
    return plain.cast(kind.arrow)
