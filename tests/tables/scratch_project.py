"""A scratch project with our three plug-ins: definitions, tables, a registry and a real online store."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore

from skewless.contract.state_folder import StateFolders

FEAST = Path(sys.executable).parent / "feast"
NOW = datetime.now(UTC).replace(microsecond=123_456)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STORE = """
project: scratch
provider: local
registry:
  registry_type: sql
  path: sqlite:///registry.db?plugin=skewless
offline_store:
  type: skewless.feast.SkewlessOfflineStore
online_store:
  type: skewless.feast.SkewlessOnlineStore
batch_engine:
  type: skewless.feast.SkewlessEngine
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

aircraft = Entity(name="aircraft", join_keys=["tailnum"], value_type=ValueType.STRING)
carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING)
number = Entity(name="number", join_keys=["number"], value_type=ValueType.INT64)


def table(name, created="created_timestamp", **options):
    return FileSource(
        name=name, path=name, timestamp_field="event_timestamp", created_timestamp_column=created, **options
    )


flown = FeatureView(
    name="flown",
    entities=[aircraft],
    ttl=timedelta(hours=5),
    schema=[
        Field(name="hours", dtype=Float32),
        Field(name="cycles", dtype=Int64),
        Field(name="note", dtype=String),
        Field(name="grounded", dtype=Bool),
    ],
    source=table("flown"),
    tags={"known_by": "created_timestamp", "deleted_field": "gone"},
)
legs = FeatureView(
    name="legs",
    entities=[carrier, number],
    schema=[
        Field(name="minutes", dtype=Float64),
        Field(name="stops", dtype=Int32),
        Field(name="last", dtype=UnixTimestamp),
        Field(name="digest", dtype=Bytes),
    ],
    source=table("legs", created="", field_mapping={"min": "minutes"}),
)
city = FeatureView(
    name="city", entities=[], ttl=timedelta(hours=3), schema=[Field(name="mean", dtype=Float32)], source=table("city")
)
told = FeatureView(
    name="told",
    entities=[aircraft],
    ttl=timedelta(days=1),
    schema=[Field(name="fuel", dtype=Float32), Field(name="gate", dtype=Int64)],
    source=PushSource(name="tell", batch_source=table("told")),
)
asked = RequestSource(name="asked", schema=[Field(name="hour", dtype=Int64)])


@on_demand_feature_view(
    sources=[flown, asked], schema=[Field(name="swell", dtype=Float32)], mode="pandas", name="rush"
)
def rush(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"swell": (inputs["hours"] * inputs["hour"]).astype("float32")})


everything = FeatureService(
    name="everything",
    features=[
        rush,
        legs,
        flown,
        city,
    ],
)
# Feast cannot apply a service twice in which one view stands both under its name and under another.
sisters = FeatureService(
    name="sisters",
    features=[
        flown.with_name("mine"),
        flown[["cycles", "hours"]].with_name("sister").with_join_key_map({"tailnum": "sister_tailnum"}),
    ],
)
stored = FeatureService(name="stored", features=[flown[["hours", "cycles"]], city])
"""
US = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class ScratchProject:
    repo: Path
    state: Path
    redis_url: str

    @property
    def data(self) -> Path:
        return StateFolders(self.state).data

    @property
    def environment(self) -> dict[str, str]:
        return {"SKEWLESS_STATE": str(self.state), "SKEWLESS_REDIS_URL": self.redis_url}

    def feast(self, *words: str) -> str:
        """One command of Feast's own CLI."""
        ran = subprocess.run(
            [str(FEAST), "-c", str(self.repo), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=os.environ | self.environment | {"PYTHONWARNINGS": "ignore"},
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def write(self, table: str, part: str = "part-0", **columns: object) -> None:
        """Write one file of a table."""
        folder = self.data / table
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / f"{part}.parquet")

    def store(self) -> FeatureStore:
        return FeatureStore(repo_path=str(self.repo))


def times(*offsets: timedelta) -> pa.Array:
    """Times relative to NOW."""
    return pa.array([NOW + offset for offset in offsets], US)
