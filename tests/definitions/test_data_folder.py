"""Where relative paths of sources start: as in Feast, unless the project's settings say otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Int64

from skewless.definitions.data_folder import data_folder
from skewless.runtime.errors import SourceMissing
from tests.tables.store_file import store_file

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def repository(folder: Path, registry: object, **offline: object) -> FeatureStore:
    folder.mkdir(exist_ok=True)
    config = RepoConfig(
        project="paths",
        provider="local",
        registry=registry,
        offline_store={"type": "skewless.feast.SkewlessOfflineStore"} | offline,
        online_store=None,
        repo_path=folder,
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def test_a_repository_of_feasts_reads_its_paths_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    repo, elsewhere = tmp_path / "repo", tmp_path / "elsewhere"
    store = repository(repo, str(tmp_path / "registry.db"))
    (repo / "data").mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    rows = {"car": [7], "x": [1], "event_timestamp": pa.array([NOON], pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(rows), repo / "data" / "trips.parquet")
    car = Entity(name="car", join_keys=["car"], value_type=ValueType.INT64)
    source = FileSource(name="trips", path="data/trips.parquet", timestamp_field="event_timestamp")
    store.apply([car, FeatureView(name="trips", entities=[car], schema=[Field(name="x", dtype=Int64)], source=source)])
    spine = pd.DataFrame({"car": [7], "event_timestamp": [NOON]})
    assert store.get_historical_features(spine, ["trips:x"]).to_df()["x"].tolist() == [1]
    (repo / "data" / "trips.parquet").unlink()
    with pytest.raises(SourceMissing) as missing:
        store.get_historical_features(spine, ["trips:x"]).to_df()
    assert str(repo / "data" / "trips.parquet") in str(missing.value)
    assert "`data` of `offline_store` in feature_store.yaml" in str(missing.value)


def test_the_setting_names_another_folder(tmp_path: Path):
    repo, file = tmp_path / "repo", str(tmp_path / "registry.db")
    assert data_folder(repository(repo, file).config) == repo
    assert data_folder(repository(repo, file, data="tables").config) == repo / "tables"
    for elsewhere in (tmp_path / "tables", "../tables"):
        assert data_folder(repository(repo, file, data=elsewhere).config) == tmp_path / "tables"


def test_where_the_registry_is_in_the_state_folder_tables_are_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    (tmp_path / "feature_store.yaml").write_text(store_file("paths"))
    assert data_folder(FeatureStore(repo_path=str(tmp_path)).config) == tmp_path / "state" / "data"
