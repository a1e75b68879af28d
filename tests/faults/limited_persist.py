"""A saved dataset made by a process that may not have more memory than it is told: `LIMIT BUDGET DATA SAVED SPINE`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, FileSource, RepoConfig
from feast import Field as FeastField
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64
from feast.value_type import ValueType

from tests.faults.limited_join import limit_address_space
from tests.tables.large_view import FIELDS, write_spine, write_table

REFS = [f"large:{field.name}" for field in FIELDS]


def store(data: Path, budget: int) -> FeatureStore:
    """Feast over the large table of `data`."""
    thing = Entity(name="thing", join_keys=["id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="large",
        entities=[thing],
        schema=[FeastField(name=field.name, dtype=Float64) for field in FIELDS],
        source=FileSource(name="large", path="large", timestamp_field="event_timestamp"),
    )
    config = RepoConfig(
        project="large",
        provider="local",
        registry=str(data / "registry.db"),
        offline_store={
            "type": "skewless.feast.SkewlessOfflineStore",
            "data": data,
            "join_memory": budget,
        },
        online_store=None,
        repo_path=data,
        entity_key_serialization_version=3,
    )
    made = FeatureStore(config=config)
    made.apply([thing, view])
    return made


def main() -> None:
    room, budget = int(sys.argv[1]), int(sys.argv[2])
    data, saved, spine = (Path(name) for name in sys.argv[3:])
    pa.set_memory_pool(pa.system_memory_pool())  # the others reserve address space that they never use
    with tempfile.TemporaryDirectory() as warm:  # libraries and threads come with the first join, whatever its size
        write_table(Path(warm), 10, files=2)
        write_spine(Path(warm) / "spine.parquet", 10, 10)
        few = pq.read_table(Path(warm) / "spine.parquet")
        job = store(Path(warm), budget).get_historical_features(few, REFS)
        job.persist(SavedDatasetFileStorage(str(Path(warm) / "saved.parquet")))
    job = store(data, budget).get_historical_features(pq.read_table(spine), REFS)
    limit_address_space(room)
    job.persist(SavedDatasetFileStorage(str(saved)))
    print(job.waiting)


if __name__ == "__main__":
    main()
