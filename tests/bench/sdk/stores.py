"""The same view in two repositories: on Feast's own Redis and file stores, and on ours; each on a Valkey of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Float32, Int64, String

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.online.store.embedded_valkey import FREE_PORT

OURS, FEAST = "skewless", "feast"
ENTITIES, KEY, VIEW, SOURCE = 10_000, "entity", "events", "events_push"
TYPES = (Float32,) * 6 + (Int64,) * 3 + (String,)
REFERENCES = [f"{VIEW}:f{place}" for place in range(len(TYPES))]
_YAML = """\
project: bench
provider: local
registry: {{path: {folder}/registry.db, cache_ttl_seconds: 600}}
entity_key_serialization_version: 3
{stores}
"""
_STORES = {
    OURS: """\
online_store: {{type: skewless.feast.SkewlessOnlineStore, url: "{url}"}}
offline_store: {{type: skewless.feast.SkewlessOfflineStore, data: .}}
batch_engine: {{type: skewless.feast.SkewlessEngine}}""",
    FEAST: """\
online_store: {{type: redis, connection_string: "{address}"}}
offline_store: {{type: file}}""",
}


@contextmanager
def stores(folder: Path, now: datetime) -> Iterator[Mapping[str, FeatureStore]]:
    """Both, filled with the same rows up to `now`."""
    table = folder / "events.parquet"
    pq.write_table(_rows(now - timedelta(days=1)), table)
    with ExitStack() as running:
        opened = {}
        for name, lines in _STORES.items():
            repo = folder / name / "feature_repo"
            repo.mkdir(parents=True)
            valkey = running.enter_context(
                embedded_valkey.running(StateFolders(folder / name / "redis"), port=FREE_PORT)
            )
            stores = lines.format(url=valkey.url, address=urlsplit(valkey.url).netloc)
            (repo / "feature_store.yaml").write_text(_YAML.format(folder=repo, stores=stores))
            opened[name] = store = FeatureStore(str(repo))
            store.apply(_definitions(table))
            store.materialize(now - timedelta(days=2), now, feature_views=[VIEW])
        yield opened


def frame(now: datetime) -> pd.DataFrame:
    """One row to push, of an entity that is there."""
    return _rows(now, entities=1).to_pandas()


def _rows(event: datetime, entities: int = ENTITIES) -> pa.Table:
    chance = random.Random(7)
    columns: dict[str, pa.Array] = {KEY: pa.array(range(entities), pa.int64())}
    for place, kind in enumerate(TYPES):
        column = f"f{place}"
        if kind is Float32:
            columns[column] = pa.array([chance.random() for _ in range(entities)], pa.float32())
        elif kind is Int64:
            columns[column] = pa.array([chance.randrange(1_000) for _ in range(entities)], pa.int64())
        else:
            columns[column] = pa.array([f"text{chance.randrange(99)}" for _ in range(entities)])
    times = pa.array([event] * entities, pa.timestamp("us", "UTC"))
    return pa.table(columns | {"event_timestamp": times, "created_timestamp": times})


def _definitions(table: Path) -> list[Entity | FeatureView]:
    source = FileSource(
        name="events_table",
        path=str(table),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    entity = Entity(name=KEY, join_keys=[KEY], value_type=ValueType.INT64)
    features = [Field(name=f"f{place}", dtype=kind) for place, kind in enumerate(TYPES)]
    view = FeatureView(
        name=VIEW,
        entities=[entity],
        ttl=timedelta(days=365),
        schema=[*features, Field(name=KEY, dtype=Int64)],
        source=PushSource(name=SOURCE, batch_source=source),
    )
    return [entity, view]
