"""Two projects in one Airflow through `dag.test()`, each with its own state: one fills its tables, the other's table is in
object storage. What each writes is its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.storage.catalog import catalog_key
from skewless.online.store.embedded_valkey import RunningValkey
from tests.airflow import dag_test_process
from tests.airflow.dag_folder import beside
from tests.scaffold.own_project import command
from tests.services.s3 import BUCKET, S3, s3, s3_server
from tests.services.serve_process import SKEWLESS

__all__ = ["s3", "s3_server"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning"),
    pytest.mark.timeout(900),
]
STORE = """project: {}
provider: local
registry: {{registry_type: sql, path: "sqlite:///registry.db?plugin=skewless"}}
offline_store: {{type: skewless.feast.SkewlessOfflineStore}}
online_store: {{type: skewless.feast.SkewlessOnlineStore}}
batch_engine: {{type: skewless.feast.SkewlessEngine}}
entity_key_serialization_version: 3
"""
VIEWS = """from datetime import timedelta

import pandas as pd
from feast.on_demand_feature_view import on_demand_feature_view
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
source = FileSource(name="{0}", path="{1}", timestamp_field="event_timestamp", s3_endpoint_override="{2}")
view = FeatureView(
    name="{0}", entities=[customer], ttl=timedelta(days=9999), schema=[Field(name="total", dtype=Float64)], source=source
)
"""
STORED = """

@on_demand_feature_view(
    sources=[view], schema=[Field(name="half", dtype=Float64)], entities=[customer], write_to_online_store=True
)
def halves(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"half": inputs["total"] / 2})
"""
TABLES = """from datetime import timedelta

from skewless.project import Table


@Table("orders", keys="customer", every="hour")
def orders(start, end):
    return [{"customer": 7, "event_timestamp": start + timedelta(hours=1), "total": 3.5}]


@Table("visits", keys="customer")
def visits(start, end):
    return [{"customer": n, "event_timestamp": start + timedelta(hours=n), "pages": n} for n in range(3)]
"""
DAY = {"start": "2026-02-05", "end": "2026-02-06"}
BEFORE = {"start": "2026-02-04", "end": "2026-02-05"}
RUNS = {
    "hour": ["shop_ingest_hourly", {"start": "2026-02-05T03:00:00Z", "end": "2026-02-05T04:00:00Z"}, {}],
    "day": ["shop_ingest_daily", DAY, {}],
    "shop": ["shop_materialize", DAY, {}],
    "earlier": ["shop_ingest_daily", BEFORE, {}],
    "shop earlier": ["shop_materialize", BEFORE, {}],
    "lake": ["lake_materialize", DAY, {}],
    "verify": ["lake_verify", {}, {}],
}


def project(folder: Path, name: str, table: str, path: str, endpoint: str = "") -> Path:
    repo = folder / name / "feature_repo"
    repo.mkdir(parents=True)
    (repo / "feature_store.yaml").write_text(STORE.format(name))
    (repo / "features.py").write_text(VIEWS.format(table, path, endpoint))
    beside(repo)
    return repo


def test_two_projects_run_in_one_airflow(airflow_home: Path, tmp_path: Path, redis_server: RunningValkey, s3: S3):
    folder, redis_url = tmp_path / "dags", redis_server.url
    at = pa.array([1_770_300_000_000_000] * 2, pa.timestamp("us", "UTC"))  # 2026-02-05, in the afternoon
    rows = pa.table({"customer": [7, 8], "total": [1.5, 2.5], "event_timestamp": at})
    pq.write_table(rows, f"{BUCKET}/fuel/part.parquet", filesystem=s3.filesystem)
    shop = project(folder, "shop", "orders", "orders")
    (shop / "tables.py").write_text(TABLES)
    with (shop / "features.py").open("a") as features:
        features.write(STORED)
    project(folder, "lake", "fuel", f"s3://{BUCKET}/fuel", s3.endpoint)
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    for name in ("shop", "lake"):
        command(folder / name, redis_url, str(SKEWLESS), "apply")
    ours = {"SKEWLESS_REDIS_URL": redis_url, "AIRFLOW__OPENLINEAGE__DISABLED": "True"}
    asked = {"runs": list(RUNS.values()), "connections": {}}
    done = dag_test_process.run(airflow_home, tmp_path / "airflow", folder, ours, asked)
    told: dict[str, dict[str, Any]] = dict(zip(RUNS, done["runs"], strict=True))

    assert {name: run["state"] for name, run in told.items()} == dict.fromkeys(RUNS, "success"), done["log"][-4000:]
    assert told["hour"]["returned"]["tables"] == ["orders"]
    assert {name for name in told["day"]["tasks"] if name.startswith("ingest")} == {"ingest[orders]", "ingest[visits]"}
    assert told["day"]["returned"]["ingest[visits]"] == 3
    assert told["shop"]["returned"]["materialize[orders]"]["written"] == 1
    assert [told[name]["returned"]["outputs"] for name in ("shop", "shop earlier")] == [{"halves": 1}, {"halves": 0}]
    assert told["lake"]["tasks"]["outputs"] == ["skipped", 1]
    assert told["lake"]["returned"]["materialize[fuel]"]["written"] == 2
    assert told["verify"]["returned"]["verify[fuel]"]["compared"] == 2
    planned = json.dumps(told["lake"]["returned"]["plan"])
    assert f"s3://{BUCKET}/fuel" in planned
    assert "secret" not in planned
    with Redis.from_url(redis_url) as redis:
        assert redis.exists(catalog_key("shop"), catalog_key("lake")) == 2
    states = [folder / name / ".skewless" for name in ("shop", "lake")]
    assert [sorted(path.name for path in (state / "data").iterdir() if path.is_dir()) for state in states] == [
        ["orders", "visits"],
        [".mirrors"],
    ]
    assert all((state / "state.db").is_file() for state in states)
