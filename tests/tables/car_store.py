"""Feast's SDK on our three plug-ins in code, without a repository: cars by their plate, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
US = pa.timestamp("us", "UTC")
car = Entity(name="car", join_keys=["plate"], value_type=ValueType.INT64)


def instants(*times: datetime) -> pa.Array:
    return pa.array(times, US)


@dataclass(frozen=True)
class CarStore:
    """A project in a folder. Its environment has SKEWLESS_STATE and SKEWLESS_REDIS_URL."""

    folder: Path
    sql: bool = False

    def open(self) -> FeatureStore:
        """A store of its own, as another process has one."""
        sql = {"registry_type": "sql", "path": f"sqlite:///{self.folder}/registry.db", "cache_ttl_seconds": 0}
        return FeatureStore(
            config=RepoConfig(
                project="cars",
                provider="local",
                registry=sql if self.sql else str(self.folder / "registry.pb"),
                repo_path=self.folder,
                entity_key_serialization_version=3,
                offline_store={"type": "skewless.feast.SkewlessOfflineStore", "data": str(self.folder)},
                online_store={"type": "skewless.feast.SkewlessOnlineStore"},
                batch_engine={"type": "skewless.feast.SkewlessEngine"},
            )
        )

    def table(self, columns: Mapping[str, Any], name: str = "trips", **options: Any) -> FileSource:
        """A source with its table; rows without a time are an hour old."""
        rows = len(next(iter(columns.values())))
        times = {"event_timestamp": instants(*[NOW - HOUR] * rows)}
        pq.write_table(pa.table(times | dict(columns)), self.folder / f"{name}.parquet")
        return FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp", **options)


def view(name: str, source: FileSource, *fields: Field, **options: Any) -> FeatureView:
    options = {"entities": [car], "ttl": timedelta(days=1)} | options
    return FeatureView(name=name, schema=list(fields), source=source, **options)


def materialize(store: FeatureStore) -> None:
    store.materialize(NOW - timedelta(days=3), NOW)


def offline(store: FeatureStore, features: Any, full: bool = False, **spine: list[Any]) -> pa.Table:
    """The features of rows as of now, behind the rows' own columns."""
    rows = len(next(iter(spine.values())))
    frame = pd.DataFrame({**spine, "event_timestamp": [NOW] * rows})
    return store.get_historical_features(frame, features, full_feature_names=full).to_arrow()


def online(store: FeatureStore, features: Any, full: bool = False, **rows: list[Any]) -> dict[str, list[Any]]:
    return store.get_online_features(features, rows, full_feature_names=full).to_dict()
