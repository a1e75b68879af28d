"""Historical answers through Feast's SDK, right where Feast's own file store is not."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, RepoConfig
from feast.errors import (
    EntityTimestampInferenceException,
    FeatureNameCollisionError,
    SavedDatasetLocationAlreadyExists,
)
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from skewless.feast.errors import FeastUnsupported
from skewless.runtime.errors import SourceMismatch, SpineMismatch
from tests.tables.scratch_project import DAY, HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")
BIG = 2**53 + 1


def test_types_are_exact_and_missing_values_are_no_floats(project):
    project.write(
        "flown",
        tailnum=["N1", "N2"],
        hours=pa.array([0.1, 0.2], pa.float32()),
        cycles=[BIG, 4],
        note=["a", "b"],
        grounded=[True, False],
        gone=[False, False],
        event_timestamp=times(-HOUR, -HOUR),
        created_timestamp=times(-HOUR, -HOUR),
    )
    refs = ["flown:cycles", "flown:hours", "flown:grounded"]
    whole, lacking = (
        project.store().get_historical_features(pd.DataFrame({"tailnum": tails, "event_timestamp": NOW}), refs).to_df()
        for tails in (["N2", "N1"], ["N2", "?", "N1"])
    )
    assert [str(kind) for kind in whole[["cycles", "hours", "grounded"]].dtypes] == ["int64", "float32", "bool"]
    assert [str(k) for k in lacking[["cycles", "hours", "grounded"]].dtypes] == ["Int64", "float32", "boolean"]
    assert whole["cycles"].tolist() == [4, BIG]
    assert lacking["cycles"].tolist() == [4, pd.NA, BIG]


def told(project: ScratchProject, **columns: object) -> None:
    """The table of the view `told`, known by its event time."""
    rows = len(columns["tailnum"])
    project.write("told", **{"gate": [1] * rows, "created_timestamp": columns["event_timestamp"]} | columns)


def fuel(project: ScratchProject, frame: pd.DataFrame, **options: object) -> list[float | None]:
    table = project.store().get_historical_features(frame, ["told:fuel"], **options).to_arrow()
    return table["fuel"].to_pylist()


def test_rows_with_only_expired_or_future_values_are_kept(project):
    """Feast's file store drops them; see design section 8."""
    told(project, tailnum=["N1", "N2"], fuel=pa.array([1, 2], pa.float32()), event_timestamp=times(-3 * DAY, HOUR))
    frame = pd.DataFrame({"tailnum": ["N2", "N1", "N2", "N3", "N2"], "event_timestamp": NOW})
    assert fuel(project, frame) == [None] * 5


def test_the_ttl_includes_its_end(project):
    told(project, tailnum=["N1"], fuel=pa.array([1], pa.float32()), event_timestamp=times(-DAY))
    ages = [timedelta(0), timedelta(microseconds=1), -DAY, -DAY - timedelta(microseconds=1)]
    frame = pd.DataFrame({"tailnum": "N1", "event_timestamp": [NOW + age for age in ages]})
    assert fuel(project, frame) == [1, None, 1, None]


def test_the_greatest_created_time_wins_a_tie(project):
    told(
        project,
        tailnum=["N1"] * 3,
        fuel=pa.array([1, 3, 2], pa.float32()),
        event_timestamp=times(-HOUR, -HOUR, -HOUR),
        created_timestamp=times(-HOUR, 2 * HOUR, -HOUR / 2),
    )
    frame = pd.DataFrame({"tailnum": ["N1"], "event_timestamp": [NOW]})
    assert fuel(project, frame) == [3]
    assert fuel(project, frame, filter_by_created_timestamp=True) == [2]


def test_what_feasts_own_file_store_gets_wrong(project):
    """So that we notice when Feast mends it: lost rows, ties, floats."""
    told(
        project,
        tailnum=["N1", "N1", "N2", "N3"],
        fuel=pa.array([3, 2, 1, 1], pa.float32()),
        gate=[BIG, BIG - 1, 1, 1],
        event_timestamp=times(-HOUR, -HOUR, -3 * DAY, HOUR),
        created_timestamp=times(-HOUR / 2, -HOUR, -3 * DAY, HOUR),
    )
    config = project.store().config
    foil = FeatureStore(
        config=RepoConfig(
            project="scratch",
            provider="local",
            registry=config.registry,
            offline_store="file",
            online_store=None,
            repo_path=project.data,
            entity_key_serialization_version=3,
        )
    )
    frame = pd.DataFrame({"tailnum": ["N3", "N1", "N2", "?", "N1"], "event_timestamp": NOW})
    refs = ["told:fuel", "told:gate"]
    ours = project.store().get_historical_features(frame, refs).to_df()
    theirs = foil.get_historical_features(frame, refs).to_df()
    assert ours["tailnum"].tolist() == frame["tailnum"].tolist()
    assert ours["gate"].tolist() == [pd.NA, BIG, pd.NA, pd.NA, BIG]
    assert sorted(theirs["tailnum"]) == ["?", "N1"]
    assert str(theirs["gate"].dtype) == "float64"


def test_views_of_different_keys_keep_every_row(project):
    """Feast's file store takes rows of the same keys and time for one, however many views and labels they have."""
    told(project, tailnum=["N1", "N2"], fuel=pa.array([1, 2], pa.float32()), event_timestamp=times(-HOUR, -HOUR))
    legs = {"carrier": ["AA", "DL"], "number": [1, 2], "min": [10.0, 20.0], "stops": pa.array([1, 2], pa.int32())}
    project.write("legs", **legs, last=times(-HOUR, -HOUR), digest=[b"1", b"2"], event_timestamp=times(-HOUR, -HOUR))
    rows = [("N1", "AA", 1), ("N1", "DL", 2), ("N1", "AA", 1), ("N2", "AA", 2), ("N2", None, 2)]
    frame = pd.DataFrame(rows, columns=["tailnum", "carrier", "number"]).assign(event_timestamp=NOW, label=range(5))
    found = project.store().get_historical_features(frame, ["told:fuel", "legs:minutes"]).to_df()
    assert found["label"].tolist() == list(range(5))
    assert found["fuel"].tolist() == [1, 1, 1, 2, 2]
    assert found["minutes"].fillna(0).tolist() == [10, 20, 10, 0, 0]


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_times_of_any_unit_and_zone(project, unit, zone):
    """pandas writes nanoseconds, on which Feast's DuckDB store cannot materialize. Naive times are UTC."""
    second = NOW.replace(microsecond=0)
    naive = pd.Series([second - HOUR, second]).dt.tz_localize(None)
    column = pa.array(naive.astype(f"datetime64[{unit}]"), pa.timestamp(unit))
    column = pa.compute.assume_timezone(column, "UTC").cast(pa.timestamp(unit, zone)) if zone else column
    told(project, tailnum=["N1", "N1"], fuel=pa.array([1, 2], pa.float32()), event_timestamp=column)
    moments = [second - HOUR - timedelta(microseconds=1), second - HOUR, second - timedelta(microseconds=1), second]
    assert fuel(project, pd.DataFrame({"tailnum": "N1", "event_timestamp": moments})) == [None, 1, 1, 2]
    project.store().materialize(second - DAY, second, ["told"])
    read = project.store().get_online_features(["told:fuel"], [{"tailnum": "N1"}]).to_dict()
    assert read["fuel"] == [2]


@pytest.mark.parametrize("column", [["yesterday"], [NOW.date()], [1.5]])
@pytest.mark.parametrize("name", ["event_timestamp", "created_timestamp"])
def test_dates_and_texts_are_no_times(project, column, name):
    told(
        project,
        **{"tailnum": ["N1"], "fuel": pa.array([1], pa.float32()), "event_timestamp": times(-HOUR), name: column},
    )
    with pytest.raises(SourceMismatch, match=f"'{name}' of its source is .*; it must be a timestamp"):
        fuel(project, pd.DataFrame({"tailnum": ["N1"], "event_timestamp": [NOW]}))


def test_entity_frames_of_every_kind(project):
    told(project, tailnum=["N1"], fuel=pa.array([1], pa.float32()), event_timestamp=times(-HOUR))
    naive = NOW.replace(tzinfo=None)
    assert fuel(project, pd.DataFrame({"tailnum": ["N1"], "asked_at": [naive]})) == [1]
    local = pd.Series([NOW]).dt.tz_convert("America/New_York")
    assert fuel(project, pd.DataFrame({"tailnum": ["N1"], "event_timestamp": local})) == [1]
    assert fuel(project, pa.table({"tailnum": ["N1", None], "event_timestamp": times(HOUR, HOUR)})) == [1, None]
    assert fuel(project, pa.table({"tailnum": pa.array([], pa.string()), "event_timestamp": times()})) == []


def test_integer_keys_survive_pandas(project):
    """Pandas makes floats of integers among which one is missing."""
    project.write(
        "legs",
        carrier=["AA", "AA"],
        number=[1, 2],
        min=[10.0, 20.0],
        stops=pa.array([1, 2], pa.int32()),
        last=times(-HOUR, -HOUR),
        digest=[b"1", b"2"],
        event_timestamp=times(-HOUR, -HOUR),
    )
    frame = pd.DataFrame({"carrier": "AA", "number": [2, None, 1], "event_timestamp": NOW})
    job = project.store().get_historical_features(frame, ["legs:minutes", "legs:stops"])
    assert job.to_arrow()["minutes"].to_pylist() == [20, None, 10]
    assert str(job.to_df()["stops"].dtype) == "Int32"
    with pytest.raises(SpineMismatch, match="whole numbers"):
        project.store().get_historical_features(frame.fillna({"number": 1.5}), ["legs:minutes"])


@pytest.mark.parametrize(
    ("frame", "error", "said"),
    [
        ([], FeastUnsupported, "a list as entity frame"),
        (pd.DataFrame({"tail": ["N1"], "event_timestamp": [NOW]}), SpineMismatch, "'tailnum' is absent"),
        (pd.DataFrame({"tailnum": [1], "event_timestamp": [NOW]}), SpineMismatch, "int64"),
        (pd.DataFrame({"tailnum": ["N1"], "event_timestamp": ["today"]}), SpineMismatch, "timestamp"),
        (pd.DataFrame({"tailnum": ["N1"], "event_timestamp": [NOW], "fuel": [1]}), SpineMismatch, "name of a feature"),
        (pd.DataFrame({"tailnum": ["N1"]}), EntityTimestampInferenceException, "event_timestamp"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(project, frame, error, said):
    with pytest.raises(error, match=said):
        project.store().get_historical_features(frame, ["told:fuel"])


def test_two_features_of_one_name_are_refused(project):
    frame = pd.DataFrame({"tailnum": ["N1"], "sister_tailnum": ["N2"], "event_timestamp": [NOW]})
    store = project.store()
    with pytest.raises(FeatureNameCollisionError):
        store.get_historical_features(frame, store.get_feature_service("sisters"))


def test_a_saved_dataset_comes_back(project):
    told(project, tailnum=["N1"], fuel=pa.array([1], pa.float32()), event_timestamp=times(-HOUR))
    store = project.store()
    frame = pd.DataFrame({"tailnum": ["N1", "?"], "event_timestamp": [NOW, NOW + HOUR]})
    for path in ("saved/one.parquet", "saved/folder"):
        job = store.get_historical_features(frame, ["told:fuel"])
        storage = SavedDatasetFileStorage(path)
        dataset = store.create_saved_dataset(job, path.replace("/", "_"), storage)
        assert dataset.to_arrow()["fuel"].to_pylist() == [1, None]
        with pytest.raises(SavedDatasetLocationAlreadyExists):
            job.persist(storage)
        job.persist(storage, allow_overwrite=True)
    with pytest.raises(FeastUnsupported, match="remote storage"):
        job.to_remote_storage()


def test_the_newest_row_of_each_entity_is_pulled(project):
    told(
        project,
        tailnum=["N1", "N1", "N2", "N1", None],
        fuel=pa.array([1, 2, 3, 4, 5], pa.float32()),
        event_timestamp=times(-HOUR, -HOUR, -3 * DAY, HOUR, -HOUR),
        created_timestamp=times(HOUR, -HOUR, DAY, DAY, DAY),
    )
    store = project.store()
    source = store.get_feature_view("told").batch_source
    offline = store._get_provider().offline_store
    asked = (store.config, source, ["tailnum"], ["fuel"], "event_timestamp", "created_timestamp")
    latest = offline.pull_latest_from_table_or_query(*asked, NOW - 2 * DAY, NOW).to_arrow()
    assert latest.select(["tailnum", "fuel"]).to_pylist() == [{"tailnum": "N1", "fuel": 1.0}]
    whole = offline.pull_all_from_table_or_query(*asked, NOW - HOUR, NOW + HOUR).to_arrow()
    assert whole["fuel"].to_pylist() == [1, 2, 4, 5]
