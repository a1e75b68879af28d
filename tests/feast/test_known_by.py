"""What makes a value known, through Feast's SDK: the view's tag, else the store's setting, else Feast's own meaning."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Int64
from feast.value_type import ValueType
from pydantic import ValidationError

from skewless.contract.errors import InvalidPlan
from tests.tables.scratch_project import DAY, HOUR, NOW, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
STORE = "skewless.feast.SkewlessOfflineStore"


def opened(folder: Path, **offline: object) -> FeatureStore:
    """A store over one table, backfilled: what was true yesterday became known an hour ago."""
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    tags = {"plain": None, "by_event": "event_timestamp", "by_created": "created_timestamp"}
    views = [
        FeatureView(
            name=name,
            entities=[plane],
            schema=[Field(name="gate", dtype=Int64)],
            source=FileSource(
                name=name,
                path="told",
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            ),
            tags={} if tag is None else {"known_by": tag},
        )
        for name, tag in tags.items()
    ]
    timeless = FileSource(name="timeless", path="told", timestamp_field="event_timestamp")
    views.append(
        FeatureView(name="timeless", entities=[plane], schema=[Field(name="gate", dtype=Int64)], source=timeless)
    )
    config = RepoConfig(
        project="known",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": STORE, "data": folder} | offline,
        online_store=None,
        repo_path=folder,
        entity_key_serialization_version=3,
    )
    (folder / "told").mkdir()
    rows = {"tailnum": ["N1"], "gate": [7], "event_timestamp": times(-DAY), "created_timestamp": times(-HOUR)}
    pq.write_table(pa.table(rows), folder / "told" / "part-0.parquet")
    store = FeatureStore(config=config)
    store.apply([plane, *views])
    return store


def known(store: FeatureStore, **options: bool) -> list[str]:
    """The views that admit the row between its event and its created time."""
    views = ["plain", "by_event", "by_created", "timeless"]
    for offset in (-HOUR, -2 * HOUR):
        frame = pd.DataFrame({"tailnum": ["N1"], "event_timestamp": [NOW + offset]})
        refs = [f"{name}:gate" for name in views]
        found = store.get_historical_features(frame, refs, full_feature_names=True, **options).to_df()
        admitted = [name for name in views if found[f"{name}__gate"].notna().all()]
        if offset == -HOUR:
            assert admitted == views
    return admitted


@pytest.mark.parametrize(
    ("offline", "admitted"),
    [
        ({}, ["plain", "by_event", "timeless"]),
        ({"known_by": "event_timestamp"}, ["plain", "by_event", "timeless"]),
        ({"known_by": "created_timestamp"}, ["by_event", "timeless"]),
    ],
)
def test_the_tag_counts_before_the_setting(tmp_path, offline, admitted):
    store = opened(tmp_path, **offline)
    assert known(store) == admitted
    assert known(store, filter_by_created_timestamp=True) == ["timeless"]


def test_other_words_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="known_by"):
        opened(tmp_path, known_by="yesterday").config.offline_store  # noqa: B018
    view = FeatureView(
        name="odd",
        schema=[Field(name="gate", dtype=Int64)],
        source=FileSource(name="odd", path="told", timestamp_field="event_timestamp"),
        tags={"known_by": "heart"},
    )
    (tmp_path / "other").mkdir()
    store = opened(tmp_path / "other")
    with pytest.raises(InvalidPlan, match="known_by is 'heart'"):
        store.apply([view])


def test_rows_that_wait_for_their_values_are_counted_and_told(tmp_path, caplog):
    store = opened(tmp_path, known_by="created_timestamp")
    frame = pd.DataFrame({"tailnum": ["N1", "N1", "?"], "event_timestamp": [NOW, NOW - 2 * HOUR, NOW - 2 * HOUR]})
    refs = ["plain:gate", "by_event:gate"]
    job = store.get_historical_features(frame, refs, full_feature_names=True)
    assert (job.waiting, job.warnings()) == (None, []), "nothing has run"
    assert job.to_df()["plain__gate"].isna().tolist() == [False, True, True]
    assert job.waiting == {"plain": 1, "by_event": 0}
    (told,) = job.warnings()
    assert "'plain': 1 of 3 rows" in told
    assert "known_by: event_timestamp" in told, "the mend"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("skewless")] == [told]
