"""A Delta table is its current version: what was overwritten or deleted lies in its folder and is not read."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.data_format import DeltaFormat
from feast.types import Int64
from feast.value_type import ValueType

from skewless.offline.tables.delta_table import LOG, DeltaUnreadable
from skewless.offline.tables.object_storage import RemoteReadOnly, RemoteTable
from skewless.offline.tables.source import TableSource, parquet_files
from tests.tables.scratch_project import DAY, HOUR, NOW, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


def rows(*tails: str, gate: int, event: timedelta = -HOUR) -> pa.Table:
    return pa.table(
        {"tailnum": tails, "gate": pa.array([gate] * len(tails)), "event_timestamp": times(*[event] * len(tails))}
    )


def opened(folder: Path, **options: object) -> FeatureStore:
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    source = FileSource(name="told", path="told", timestamp_field="event_timestamp", **options)
    view = FeatureView(name="told", entities=[plane], schema=[Field(name="gate", dtype=Int64)], source=source)
    config = RepoConfig(
        project="delta",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "skewless.feast.SkewlessOfflineStore", "data": folder},
        online_store=None,
        repo_path=folder,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([plane, view])
    return store


def gates(store: FeatureStore) -> list[int | None]:
    frame = pd.DataFrame({"tailnum": ["N1", "N2", "N3"], "event_timestamp": [NOW] * 3})
    return store.get_historical_features(frame, ["told:gate"]).to_arrow()["gate"].to_pylist()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Overwritten once, then N2 deleted, then N3 added."""
    folder = tmp_path / "told"
    write_deltalake(folder, rows("N1", "N2", "N3", gate=1))
    write_deltalake(folder, rows("N1", "N2", gate=2, event=-DAY), mode="overwrite")
    DeltaTable(folder).delete("tailnum = 'N2'")
    write_deltalake(folder, rows("N3", gate=3), mode="append")
    return folder


@pytest.mark.parametrize("options", [{}, {"file_format": DeltaFormat()}])
def test_only_the_current_version_is_joined(table, options):
    assert len(parquet_files(table)) == 4, "older versions are still there"
    store = opened(table.parent, **options)
    assert gates(store) == [2, None, 3]
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert len(parquet_files(table)) == 2
    assert gates(store) == [2, None, 3]


def test_days_are_left_out_by_their_partition(tmp_path):
    days = pa.table({"day": ["2013-01-01", "2013 01"], "x": [1, 2]})
    write_deltalake(tmp_path / "told", days, partition_by=["day"])
    source = TableSource("told", tmp_path / "told", "event_timestamp", None)
    assert len(source.files()) == 2
    assert [file.exists() for file in source.files()] == [True, True], "names with a space too"
    assert [file.parent.name for file in source.files(until=0)] != ["day=2013-01-01"]
    assert len(source.files(until=0)) == 1


def test_rows_are_not_added_behind_its_log(table):
    store = opened(table.parent)
    with pytest.raises(RemoteReadOnly, match="told is read only"):
        store.write_to_offline_store("told", rows("N9", gate=9).to_pandas())


def test_without_the_extra_nothing_is_read(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(DeltaUnreadable, match=r"skewless\[pipelines,delta\]"):
        gates(opened(table.parent))


def test_a_table_whose_files_say_something_else_is_refused(table):
    first = (table / LOG / f"{0:020}.json").read_text().splitlines()
    (action,) = [json.loads(line) for line in first if "metaData" in line]
    action["metaData"]["configuration"]["delta.columnMapping.mode"] = "name"
    (table / LOG / f"{4:020}.json").write_text(json.dumps(action))
    with pytest.raises(DeltaUnreadable, match="columnMapping"):
        gates(opened(table.parent))


def test_a_broken_log_is_told(table):
    for file in (table / LOG).iterdir():
        file.write_text("{")
    with pytest.raises(DeltaUnreadable, match="told cannot be read"):
        gates(opened(table.parent))


def test_one_in_object_storage_is_refused(table, tmp_path):
    remote = RemoteTable(table.as_uri())
    with pytest.raises(DeltaUnreadable, match="its log is in object storage"):
        TableSource("told", tmp_path / "mirror", "event_timestamp", None, remote=remote).files()
