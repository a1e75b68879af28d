"""Apply imports the definitions and nothing that the project keeps from Feast."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

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
