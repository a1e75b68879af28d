"""What is stored and asked: 5 views of 10 features (9 numbers and a string) of one entity, and request bodies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skewless.contract.model.transforms import reference
from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.contract.timestamp_arrays import UtcMicrosArray

PROJECT = MODEL = "bench"
KEY = "entity_id"
ENTITIES = 100_000
DAY_US = 86_400_000_000
ROW_COUNTS = (1, 100)
_BODIES = {1: 20_000, 100: 1_000}
_NULLS = 0.02
_NUMBERS = ("Float32", "Float32", "Float32", "Float64", "Float64", "Int64", "Int64", "Int64", "Int32")
FIELDS = (*(Field(f"f{place}", dtype) for place, dtype in enumerate(_NUMBERS)), Field("text", "String"))
VIEWS = tuple(
    PlanView(
        name=f"view_{number}",
        stored_as=f"view_{number}",
        join_keys=(JoinKey(KEY, KEY, "Int64"),),
        fields=FIELDS,
        ttl_us=365 * DAY_US,
        known_by="created_timestamp",
    )
    for number in range(5)
)
USED = tuple(StoredFeature(view.name, field.name) for view in VIEWS for field in FIELDS if field.dtype != "String")
PLAN = Plan(MODEL, PROJECT, VIEWS, (), (), tuple(ModelColumn(reference(source), source) for source in USED))


@dataclass(frozen=True, slots=True)
class Workload:
    """The stored values: by view and field an Arrow array of one value an entity, whose id is its place.

    Every number is exact as a float32, so that no path to the model can round it another way.
    """

    columns: dict[str, dict[str, pa.Array]]
    event: UtcMicrosArray
    created: UtcMicrosArray

    def matrix(self, entities: Sequence[int] | None = None) -> NDArray[np.float32]:
        """The model input of some entities (all if not given), by the slow and obvious way; null is NaN."""
        columns = [self.columns[source.view][source.name].cast(pa.float64()) for source in USED]
        whole = np.column_stack([column.to_numpy(zero_copy_only=False) for column in columns]).astype(np.float32)
        return whole if entities is None else whole[list(entities)]


def workload(entities: int, now: int) -> Workload:
    """The same values for the same arguments; rows are up to a day older than `now` (microseconds)."""
    rng = np.random.default_rng(20)
    event = now - DAY_US // 24 - rng.integers(0, DAY_US, entities)
    columns = {view.name: {field.name: _column(rng, field, entities) for field in FIELDS} for view in VIEWS}
    return Workload(columns, event, event + 60_000_000)


def _column(rng: np.random.Generator, field: Field, entities: int) -> pa.Array:
    missing = rng.random(entities) < _NULLS
    if field.dtype == "String":
        return pa.array([f"segment-{number:04d}" for number in rng.integers(0, 10_000, entities)], mask=missing)
    if field.dtype.startswith("Float"):
        values = rng.normal(size=entities).astype(np.float32).astype(field.dtype.lower())
    else:
        values = rng.integers(0, 1_000_000, entities).astype(field.dtype.lower())
    return pa.array(values, mask=missing)


def drawn(rows: int, entities: int, count: int | None = None) -> list[list[int]]:
    """The entities of each request, at random: a request that is repeated looks 4 times faster."""
    shape = (count or _BODIES[rows], rows)
    found: list[list[int]] = np.random.default_rng(21).integers(0, entities, shape).tolist()
    return found


def predict_body(entities: Sequence[int]) -> str:
    """What our server, the assembled stack and the floors are asked."""
    return json.dumps({"rows": [{KEY: entity} for entity in entities]}, separators=(",", ":"))


def features_body(entities: Sequence[int]) -> str:
    """What Feast's feature server is asked."""
    asked = {"feature_service": MODEL, "entities": {KEY: list(entities)}, "full_feature_names": True}
    return json.dumps(asked, separators=(",", ":"))


def write_bodies(folder: Path, entities: int) -> None:
    """Files of bodies, one a line, as `bodies_file` names them."""
    for rows in ROW_COUNTS:
        requests = drawn(rows, entities)
        for kind, body in (("predict", predict_body), ("features", features_body)):
            bodies_file(folder, kind, rows).write_text("\n".join(map(body, requests)) + "\n")


def bodies_file(folder: Path, kind: str, rows: int) -> Path:
    return folder / f"{kind}-{rows}.txt"
