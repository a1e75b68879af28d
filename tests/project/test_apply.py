"""Apply imports the definitions and nothing that the project keeps from Feast."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from skewless.definitions.onnx_tracing import load_functions
from skewless.project import apply

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
STORE = """
project: shop
provider: local
registry: {registry_type: sql, path: "sqlite:///registry.db?plugin=skewless"}
offline_store: {type: skewless.feast.SkewlessOfflineStore}
online_store: {type: skewless.feast.SkewlessOnlineStore}
entity_key_serialization_version: 3
"""
VIEW = """
from datetime import timedelta
from entities import customer
from feast import FeatureView, Field, FileSource
from feast.types import Int64
orders = FeatureView(
    name="orders", entities=[customer], ttl=timedelta(0), schema=[Field(name="total", dtype=Int64)],
    source=FileSource(name="orders_table", path="orders.csv", timestamp_field="event_timestamp"),
)
"""
ENTITIES = "from feast import Entity, ValueType\ncustomer = Entity(name='customer', value_type=ValueType.STRING)\n"


@pytest.mark.timeout(900)
def test_how_tables_are_made_is_no_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    repo = tmp_path / "feature_repo"
    (repo / "tables" / "daily").mkdir(parents=True)
    for file in ("tables/orders.py", "tables/daily/orders.py"):
        (repo / file).write_text("raise RuntimeError('somebody imports me')")
    (repo / "feature_store.yaml").write_text(STORE)
    (repo / "entities.py").write_text(ENTITIES)
    (repo / "transforms.py").write_text("def rush(hour):\n    return {'rush': hour}\n")
    with pytest.raises(apply.ApplyFailed, match="somebody imports me"):
        apply.run(repo, at=datetime.now(UTC))
    (repo / ".feastignore").write_text("tables\n")
    apply.run(repo, at=datetime.now(UTC))
    assert "customer" in {entity.name for entity in FeatureStore(repo_path=str(repo)).list_entities()}
    assert set(load_functions(repo)) == {"rush"}


@pytest.mark.timeout(900)
def test_a_table_that_is_no_parquet_is_refused_by_view_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    repo, table = tmp_path / "feature_repo", tmp_path / "state" / "data" / "orders.csv"
    repo.mkdir()
    table.parent.mkdir(parents=True)
    table.write_text("customer,total,event_timestamp\n")
    for name, text in (("feature_store.yaml", STORE), ("entities.py", ENTITIES), ("orders.py", VIEW)):
        (repo / name).write_text(text)
    with pytest.raises(
        apply.ApplyRefused, match=rf"feature view 'orders' reads {table}, which is no whole Parquet file"
    ):
        apply.run(repo, at=datetime.now(UTC))
    pq.write_table(pa.table({"customer": ["a"], "total": [1]}), table)
    with pytest.raises(apply.ApplyRefused, match="view 'orders': column 'event_timestamp' of its source is absent"):
        apply.run(repo, at=datetime.now(UTC))
    (repo / "orders.py").write_text("1 / 0\n")
    with pytest.raises(apply.ApplyFailed) as failed:
        apply.run(repo, at=datetime.now(UTC))
    assert failed.value.output == f"{repo}/orders.py, line 1 (`1 / 0`): ZeroDivisionError: division by zero"
