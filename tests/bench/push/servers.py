"""The two servers that take pushes, each one process on a Valkey of its own, and the rows that they are sent."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import feast.types
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, FileSource, PushSource, ValueType
from feast import Field as FeastField
from redis import Redis

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.storage.catalog import catalog_key
from skewless.contract.storage.push_target import PushTarget, target_entry
from skewless.contract.timestamps import from_micros
from skewless.online.store.valkey_process import free_port
from tests.bench.online.contenders import Contender, Setup, _process

PROJECT, KEY, ENTITIES, BODIES = "bench", "entity", 100_000, 20_000
DTYPES = ("Float32",) * 6 + ("Int64",) * 3 + ("String",)
FIELDS = tuple(Field(f"f{place}", dtype) for place, dtype in enumerate(DTYPES))
VIEW = PlanView("events", "events", (JoinKey(KEY, KEY, "Int64"),), FIELDS, 0, "created_timestamp")
TARGET = PushTarget(VIEW, "events", "event_timestamp", "created_timestamp")
OURS, FEAST, FEAST_BOTH = "skewless", "feast_online", "feast_both"
_YAML = """\
project: {project}
provider: local
registry:
  path: {folder}/registry.db
  cache_ttl_seconds: 0
online_store:
  type: redis
  connection_string: "{redis}"
offline_store:
  type: file
entity_key_serialization_version: 3
"""


def write_bodies(folder: Path, now: int) -> None:
    """Single rows of random entities, each with a time of its own in the hour before `now` (microseconds)."""
    chance = random.Random(7)
    lines: dict[str, list[str]] = {OURS: [], FEAST: [], FEAST_BOTH: []}
    for number in range(BODIES):
        row: dict[str, object] = {KEY: chance.randrange(ENTITIES)}
        row |= {field.name: _value(chance, field.dtype) for field in FIELDS}
        row["event_timestamp"] = from_micros(now - 3_600_000_000 + number * 1_000).isoformat()
        lines[OURS].append(json.dumps({"rows": [row]}))
        frame = {name: [value] for name, value in (row | {"created_timestamp": from_micros(now).isoformat()}).items()}
        for name, to in ((FEAST, "online"), (FEAST_BOTH, "online_and_offline")):
            lines[name].append(json.dumps({"push_source_name": "events_push", "df": frame, "to": to}))
    for name, some in lines.items():
        (folder / f"{name}-1.txt").write_text("\n".join(some) + "\n")


def _value(chance: random.Random, dtype: str) -> object:
    return {"Float32": chance.random(), "Int64": chance.randrange(1_000), "String": f"text{chance.randrange(99)}"}[
        dtype
    ]


@contextmanager
def ours(folder: Path, redis_url: str) -> Iterator[Contender]:
    """`skewless serve` that takes pushes, with its default limits."""
    with Redis.from_url(redis_url) as client:
        client.hset(catalog_key(PROJECT), mapping=target_entry(TARGET))  # type: ignore[arg-type]
    port = free_port()
    given = {
        "SKEWLESS_STATE": str(folder / "state"),
        "SKEWLESS_REDIS_URL": redis_url,
        "SKEWLESS_PUSH_PROJECT": PROJECT,
    }
    command = [_bin("skewless"), "serve", "--port", str(port)]
    with _process(_setup(folder), OURS, command, given, port, "/healthz") as url:
        yield Contender(OURS, url, f"/v1/feature-views/{VIEW.name}/push", OURS)


@contextmanager
def feast_serve(folder: Path, redis_url: str) -> Iterator[Contender]:
    """`feast serve` on Feast's own Redis and file stores, one worker like ours, never restarted."""
    project = folder / "feast"
    project.mkdir()
    redis = urlsplit(redis_url).netloc
    (project / "feature_store.yaml").write_text(_YAML.format(project=PROJECT, folder=project, redis=redis))
    _apply(project)
    port = free_port()
    command = [_bin("feast"), "--chdir", str(project), "serve", "--port", str(port), "--no-access-log"]
    with _process(_setup(folder), FEAST, [*command, "--max-requests", "0"], {}, port, "/health") as url:
        yield Contender(FEAST, url, "/push", FEAST)


def _apply(project: Path) -> None:
    table = project / "events.parquet"
    times = [("event_timestamp", pa.timestamp("us", tz="UTC")), ("created_timestamp", pa.timestamp("us", tz="UTC"))]
    kinds = {"Float32": pa.float32(), "Int64": pa.int64(), "String": pa.string()}
    schema = pa.schema([(KEY, pa.int64()), *((field.name, kinds[field.dtype]) for field in FIELDS), *times])
    pq.write_table(schema.empty_table(), table)
    source = FileSource(
        name="events",
        path=str(table),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    entity = Entity(name=KEY, join_keys=[KEY], value_type=ValueType.INT64)
    view = FeatureView(
        name="events",
        entities=[entity],
        ttl=timedelta(days=365),
        schema=[FeastField(name=field.name, dtype=getattr(feast.types, field.dtype)) for field in FIELDS]
        + [FeastField(name=KEY, dtype=feast.types.Int64)],
        source=PushSource(name="events_push", batch_source=source),
    )
    FeatureStore(str(project)).apply([entity, view])


def _bin(name: str) -> str:

    return str(Path(sys.executable).parent / name)


def _setup(folder: Path) -> Setup:
    return Setup(folder, folder, folder, folder, "")
