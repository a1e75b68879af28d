"""A shop's project, and `skewless` as a person types it: words in, status and what it prints out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64, String
from redis import Redis

from skewless.project.project import ProjectContext
from skewless.runtime.settings import ProjectSettings

STORE = """
project: shop
provider: local
registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=skewless"}
offline_store: {type: skewless.feast.SkewlessOfflineStore, known_by: created_timestamp}
online_store: {type: skewless.feast.SkewlessOnlineStore}
entity_key_serialization_version: 3
"""
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
AMOUNT, AGE, MEAN = (
    Field(name="amount", dtype=Float32),
    Field(name="age", dtype=Int64),
    Field(name="mean", dtype=Float32),
)


class CommandResult(msgspec.Struct, frozen=True):
    """How a verb ended."""

    status: int
    out: str
    err: str


Skewless = Callable[..., CommandResult]


def table(name: str) -> FileSource:
    created = "created_timestamp"
    return FileSource(name=name, path=name, timestamp_field="event_timestamp", created_timestamp_column=created)


def view(name: str, entities: list[Entity], *schema: Field, online: bool = True, ttl: int = 0) -> FeatureView:
    keys = [Field(name=one.join_key, dtype=Int64 if one is customer else String) for one in entities]
    return FeatureView(
        name=name,
        entities=entities,
        schema=[*keys, *schema],
        source=table(name),
        ttl=timedelta(days=ttl),
        online=online,
    )


VIEWS = [
    view("cards", [customer, shop], AMOUNT),
    view("people", [customer], AGE, ttl=30),
    view("city", [], MEAN),
    view("archive", [customer], AGE, online=False),
]


@dataclass(frozen=True)
class Shop:
    state: Path
    redis: Redis

    @property
    def data(self) -> Path:
        return ProjectSettings.read().folders.data

    @property
    def work(self) -> ProjectContext:
        return ProjectContext(ProjectSettings.read())

    def write(self, name: str, *rows: dict, part: str = "part-0") -> None:
        """A file of a table: rows whose times are datetimes."""
        (self.data / name).mkdir(parents=True, exist_ok=True)
        kinds = {"amount": pa.float32(), "mean": pa.float32(), "age": pa.int64(), "customer": pa.int64()}
        times = pa.timestamp("us", "UTC")
        columns = {
            column: pa.array([row[column] for row in rows], times if column.endswith("stamp") else kinds.get(column))
            for column in rows[0]
        }
        pq.write_table(pa.table(columns), self.data / name / f"{part}.parquet")


def begin(folder: Path) -> None:
    (folder / "feature_repo").mkdir()
    (folder / "feature_repo" / "feature_store.yaml").write_text(STORE)
    (folder / "feature_repo" / "transforms.py").touch()
