"""The served log's rows: the inputs, feature times and score of each prediction, from the server to the audit.

One table per model version. Columns: `request_id`, `row` (position in the request), `served_at`, `model`, `version`,
`role` (champion, canary, shadow or pinned: the version's role in the request);
`entity:NAME` and `request:NAME` as sent; per view `VIEW:status`, `VIEW:event_timestamp`, `VIEW:created_timestamp`
(null where there is no row); `model_input` (float32 list, the exact input); `score`. Of a model with named inputs and
outputs `model_input:NAME` each, in their own types, and `score`, or `score:NAME` where there are several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.admission import MISSING
from skewless.contract.columns import ColumnValues
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.model.signature import MatrixSignature, ModelInput, ModelSignature, Scores, to_columns
from skewless.contract.plan import Plan
from skewless.contract.storage.entity_key import KeyValue
from skewless.contract.storage.row_header import biased, times_in_orders
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP, UtcMicrosArray, timestamp_array
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import ValueType, value_type

Role = Literal["champion", "canary", "shadow", "pinned"]


class ServedBatch(NamedTuple):
    """Requests of one model version that were answered together, n rows in all, in the raw form that the request path can
    afford to queue for the log.

    `counts` are the rows of each request. `statuses` is a `FeatureStatus` for each row and view, `orders` the 16 order bytes
    of each row and view (see `row_header`; NO_ORDER where there is no row); both row after row. `places`: the
    indices of each request's rows in the original request; None where they are all of its rows.
    """

    request_ids: Sequence[str]
    counts: Sequence[int]
    served_at: UtcMicros
    entities: Mapping[str, Sequence[KeyValue | None]]
    request: Mapping[str, ColumnValues]
    statuses: bytes
    orders: bytes
    matrix: ModelInput
    scores: Scores
    places: Sequence[Sequence[int] | None] | None = None


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One answered request of n rows. `served_at` is in microseconds; `entities` are columns by join key."""

    request_id: str
    served_at: UtcMicros
    entities: Mapping[str, Sequence[KeyValue | None]]
    request: Mapping[str, ColumnValues]
    views: Mapping[str, AdmittedRows]
    matrix: ModelInput
    scores: Scores


def served_schema(plan: Plan, signature: ModelSignature | None = None) -> pa.Schema:
    """The columns of the served log of a plan and its model's form (one matrix, unless it is named)."""
    shape: ModelSignature = signature or MatrixSignature(plan)
    fields = [
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int32()),
        pa.field("served_at", UTC_TIMESTAMP),
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
        pa.field("role", pa.string()),
    ]
    fields += [pa.field(f"entity:{key.name}", value_type(key.dtype).arrow) for key in plan.join_keys]
    fields += [pa.field(f"request:{field.name}", value_type(field.dtype).arrow) for field in plan.request]
    for view in plan.views:
        fields.append(pa.field(f"{view.name}:status", pa.uint8()))
        fields.append(pa.field(f"{view.name}:event_timestamp", UTC_TIMESTAMP))
        fields.append(pa.field(f"{view.name}:created_timestamp", UTC_TIMESTAMP))
    return pa.schema([*fields, *(group.field for group in (*shape.inputs, *shape.outputs))])


def used(views: Sequence[str], served: ServedRequest) -> ServedBatch:
    """An answered request in the raw form for the log; `views` is the order of its statuses and times."""
    admitted = [served.views[view] for view in views]
    rows = len(served.scores)
    statuses, orders = np.zeros((rows, len(views)), np.uint8), np.zeros((rows, len(views), 2), ">u8")
    for place, view in enumerate(admitted):
        statuses[:, place] = view.status
        orders[:, place, 0] = biased(view.rows.event)
        orders[:, place, 1] = biased(view.rows.created)
    return ServedBatch(
        (served.request_id,),
        (rows,),
        served.served_at,
        served.entities,
        served.request,
        statuses.tobytes(),
        orders.tobytes(),
        served.matrix,
        served.scores,
    )


def used_batch(
    plan: Plan,
    model: str,
    version: str,
    views: Sequence[str],
    requests: Sequence[ServedBatch],
    signature: ModelSignature | None = None,
    *,
    role: str = "champion",
) -> pa.RecordBatch:
    """Answered requests (at least one `ServedBatch`) as rows of the served log, all at once."""
    shape: ModelSignature = signature or MatrixSignature(plan)
    counts = np.array([count for batch in requests for count in batch.counts], np.intp)
    owner = np.repeat(np.arange(len(counts)), counts)
    served_at = np.array([batch.served_at for batch in requests], np.int64)
    columns: list[pa.Array] = [
        pa.array([name for batch in requests for name in batch.request_ids], pa.string()).take(pa.array(owner)),
        pa.array(_places(requests, counts, owner)),
        timestamp_array(np.repeat(served_at, [len(batch.scores) for batch in requests])),
        pa.repeat(model, len(owner)),
        pa.repeat(version, len(owner)),
        pa.repeat(role, len(owner)),
    ]
    columns += [
        pa.array([v for batch in requests for v in batch.entities[k.name]], value_type(k.dtype).arrow)
        for k in plan.join_keys
    ]
    columns += [
        to_arrow(value_type(f.dtype), _joined([batch.request[f.name] for batch in requests])) for f in plan.request
    ]
    statuses = np.frombuffer(b"".join([batch.statuses for batch in requests]), np.uint8).reshape(len(owner), len(views))
    times = times_in_orders(b"".join([batch.orders for batch in requests])).reshape(len(owner), len(views), 2)
    for place in [views.index(view.name) for view in plan.views]:
        columns.append(pa.array(np.ascontiguousarray(statuses[:, place])))
        columns += [_instants(np.ascontiguousarray(times[:, place, kind])) for kind in (0, 1)]
    for groups, parts in (
        (shape.inputs, [shape.input_arrays(batch.matrix) for batch in requests]),
        (shape.outputs, [shape.output_arrays(batch.scores) for batch in requests]),
    ):
        columns += to_columns(groups, [np.concatenate(arrays) for arrays in zip(*parts, strict=True)])
    return pa.RecordBatch.from_arrays(columns, schema=served_schema(plan, shape))


def _places(requests: Sequence[ServedBatch], counts: NDArray[np.intp], owner: NDArray[np.intp]) -> NDArray[np.int32]:
    """The position of each row in its request."""
    starts = np.cumsum(counts) - counts
    places: NDArray[np.int32] = (np.arange(len(owner)) - starts[owner]).astype(np.int32)
    if not any(batch.places for batch in requests):
        return places
    original = [rows for batch in requests for rows in batch.places or [None] * len(batch.counts)]
    for start, count, rows in zip(starts.tolist(), counts.tolist(), original, strict=True):
        if rows is not None:
            places[start : start + count] = rows
    return places


def _joined(parts: Sequence[ColumnValues]) -> ColumnValues:
    return ColumnValues(np.concatenate([part.data for part in parts]), np.concatenate([part.valid for part in parts]))


def _instants(times: UtcMicrosArray) -> pa.Array:
    return timestamp_array(times, null=times == MISSING)


def to_arrow(kind: ValueType, values: ColumnValues) -> pa.Array:
    """Values as an Arrow array of the type, null where not valid; every bit of a number is kept."""
    if kind.text:
        return pa.array(values.data, kind.arrow, mask=~values.valid)
    plain = pa.array(values.data, mask=~values.valid)
    return plain.cast(kind.arrow)
