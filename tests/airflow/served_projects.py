"""Projects with a served log: one of a tiny model that answered on a real Valkey, and one whose scores drifted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64, Int64, String, UnixTimestamp
from redis import Redis

from skewless.contract.model.signature import MatrixSignature
from skewless.contract.plan import PlanView
from skewless.model.distributions.baseline import describe
from skewless.model.distributions.coverage import AbsentRows
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import tiny
from tests.models.declarations import declare
from tests.monitoring.audit.audited_store import STORE
from tests.monitoring.served_project import NOON, World, history

TYPES = {"Float32": Float32, "Float64": Float64, "Int64": Int64, "String": String, "UnixTimestamp": UnixTimestamp}
EXPECTED = {"delays": {"expect_fresh_within": "6h"}, "planes": {}}
ROWS = 600


def answered(folder: Path, redis_url: str) -> Path:
    """What was served at noon, one and three, of which the last score is false in the log; the definitions' folder."""
    bundle = tiny.write_bundle(folder / "models", "1.0.0")
    world = World(folder, open_bundle(bundle, processor_features()))
    history(world.data)
    with Redis.from_url(redis_url) as redis:
        world.serve(redis)
    world.change("score", lambda scores: scores.__setitem__(-1, 0.5))
    repo = define(folder / "feature_repo")
    declare(repo, "tiny", service="tiny", label="late")
    return repo


def define(repo: Path, views: Sequence[PlanView] = (tiny.DELAYS, tiny.PLANES)) -> Path:
    """The tiny model's views, registered with Feast; again, where they are others now."""
    repo.mkdir(exist_ok=True)
    (repo / "feature_store.yaml").write_text(STORE.format(folder=repo))
    objects: list[Entity | FeatureView] = []
    for view in views:
        (key,) = view.join_keys
        entity = Entity(name=key.name, join_keys=[key.name], value_type=ValueType.STRING)
        source = FileSource(
            name=view.name,
            path=view.name,
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        made = FeatureView(
            name=view.name,
            entities=[entity],
            ttl=timedelta(microseconds=view.ttl_us),
            schema=[Field(name=field.name, dtype=TYPES[field.dtype]) for field in view.fields],
            source=source,
            tags={"known_by": view.known_by} | _deletion(view) | EXPECTED[view.name],
        )
        objects += [entity, made]
    FeatureStore(repo_path=str(repo)).apply(objects)
    return repo


def _deletion(view: PlanView) -> dict[str, str]:
    return {"deleted_field": view.deleted_field} if view.deleted_field else {}


def drifting(folder: Path) -> None:
    """A bundle with a baseline, and ten minutes from noon on, in whose second half the scores are others."""
    rng, plan = np.random.default_rng(4), tiny.plan()
    matrix = rng.normal(size=(5_000, len(plan.columns))).astype(np.float32)
    keys = pa.table({"origin": rng.choice(["JFK", "LGA"], 5_000), "tailnum": ["N1"] * 5_000})
    shares = {view.name: AbsentRows(5_000, 0) for view in plan.views}
    then = describe(plan, MatrixSignature(plan), matrix, keys, shares, rng.random(5_000).astype(np.float32))
    tiny.write_bundle(folder / "models", "1.0.0", baseline=msgspec.json.encode(then))
    inputs = pa.array(rng.normal(size=ROWS * len(plan.columns)).astype(np.float32))
    served = {
        "served_at": pa.array([NOON + timedelta(seconds=second) for second in range(ROWS)], pa.timestamp("us", "UTC")),
        "entity:origin": rng.choice(["JFK", "LGA"], ROWS),
        "entity:tailnum": ["N1"] * ROWS,
        "delays:status": np.zeros(ROWS, np.uint8),
        "planes:status": np.zeros(ROWS, np.uint8),
        "model_input": pa.FixedSizeListArray.from_arrays(inputs, len(plan.columns)),
        "score": rng.random(ROWS).astype(np.float32) ** np.where(np.arange(ROWS) < ROWS / 2, 1, 3).astype(np.float32),
    }
    place = folder / "served" / "model=tiny" / "version=1.0.0" / "day=2013-10-01"
    place.mkdir(parents=True)
    pq.write_table(pa.table(served), place / "part.parquet")
