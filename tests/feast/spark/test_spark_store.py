"""The same definitions joined by Feast's Spark store: the same rows as ours, and each difference by name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float32, Int64, String
from feast.value_type import ValueType

from skewless.feast.errors import FeastUnsupported
from tests.tables.scratch_project import DAY, HOUR, NOW, times

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:pyspark", "ignore::ResourceWarning"),
    pytest.mark.usefixtures("spark"),
]
OURS = "skewless.feast.SkewlessOfflineStore"
SPARK = "skewless.feast.SkewlessSparkOfflineStore"
MICRO = timedelta(microseconds=1)


def opened(folder: Path, kind: str, **tags: str) -> FeatureStore:
    """Two views of one definition; `kind` is the one setting that differs."""
    plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)
    airline = Entity(name="airline", join_keys=["carrier"], value_type=ValueType.STRING)

    def table(name: str) -> FileSource:
        return FileSource(
            name=name, path=name, timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
        )

    views = [
        FeatureView(
            name="flown",
            entities=[plane],
            ttl=timedelta(hours=5),
            schema=[Field(name="hours", dtype=Float32), Field(name="cycles", dtype=Int64)],
            source=table("flown"),
            tags=tags,
        ),
        FeatureView(
            name="routes", entities=[airline, plane], schema=[Field(name="note", dtype=String)], source=table("routes")
        ),
    ]
    config = RepoConfig(
        project="spark",
        provider="local",
        registry=str(folder / f"{kind.rsplit('.', 1)[-1]}.db"),
        offline_store={"type": kind, "data": folder},
        online_store=None,
        repo_path=folder,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([plane, airline, *views])
    return store


def write(folder: Path, name: str, **columns: object) -> None:
    (folder / name).mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / name / "part-0.parquet")


def flown(folder: Path, events: pa.Array, created: pa.Array, **more: object) -> None:
    count = len(events)
    columns = {"tailnum": ["N1"] * count, "hours": pa.array(range(count), pa.float32()), "cycles": [None] * count}
    columns["cycles"] = pa.array([2**53 + 1 + place for place in range(count)])
    write(folder, "flown", **columns, event_timestamp=events, created_timestamp=created, **more)


def answers(folder: Path, frame: pd.DataFrame, refs: list[str], **tags: str) -> list[pa.Table]:
    """Ours, and Spark's in the order of the frame's column `row`."""
    found = []
    for kind in (OURS, SPARK):
        table = opened(folder, kind, **tags).get_historical_features(frame, refs, full_feature_names=True).to_arrow()
        found.append(table.sort_by("row").drop(["event_timestamp"]).replace_schema_metadata(None))
    return found


def at(*offsets: timedelta) -> pd.DataFrame:
    return pd.DataFrame({"row": range(len(offsets)), "tailnum": "N1", "event_timestamp": [NOW + o for o in offsets]})


REFS = ["flown:hours", "flown:cycles"]


@pytest.mark.parametrize("known_by", ["event_timestamp", "created_timestamp"])
def test_random_histories_give_the_same_rows(tmp_path, known_by):
    lot = np.random.default_rng(5)
    count, asked = 600, 300
    events = pd.to_datetime(NOW) + pd.to_timedelta(lot.permutation(count) * 7, "min") - DAY * 3
    created = events + pd.to_timedelta(lot.integers(0, 300, count), "min")
    tails = np.array(["N1", "N2", "N3"])[lot.integers(0, 3, count)]
    both = {"event_timestamp": pa.array(events), "created_timestamp": pa.array(created)}
    micros = {name: column.cast(pa.timestamp("us", "UTC")) for name, column in both.items()}
    cycles = pa.array([None if place % 5 == 0 else 2**53 + place for place in range(count)])
    hours = pa.array(lot.random(count), pa.float32())
    gone = pa.array(lot.random(count) < 0.1)
    write(tmp_path, "flown", tailnum=tails, hours=hours, cycles=cycles, gone=gone, **micros)
    carriers = np.array(["UA", "DL"])[lot.integers(0, 2, count)]
    write(tmp_path, "routes", tailnum=tails, carrier=carriers, note=pa.array([f"n{n}" for n in range(count)]), **micros)
    frame = pd.DataFrame(
        {
            "row": range(asked),
            "tailnum": np.array(["N1", "N2", "N3", "unknown"])[lot.integers(0, 4, asked)],
            "carrier": np.array(["UA", "DL"])[lot.integers(0, 2, asked)],
            "event_timestamp": pd.to_datetime(NOW) + pd.to_timedelta(lot.integers(0, 4_500, asked), "min") - DAY * 3,
        }
    )
    ours, theirs = answers(tmp_path, frame, [*REFS, "routes:note"], known_by=known_by, deleted_field="gone")
    assert 0 < ours["flown__cycles"].null_count < asked
    assert theirs.equals(ours)


def test_both_ends_of_the_ttl_and_tombstones_and_created_times_are_as_ours(tmp_path):
    flown(tmp_path, times(-6 * HOUR, -HOUR, -MICRO), times(-6 * HOUR, HOUR, -MICRO), gone=[False, False, True])
    frame = at(-HOUR, -HOUR + MICRO, -HOUR - MICRO, timedelta(0), -7 * HOUR)
    for known_by in ("event_timestamp", "created_timestamp"):
        ours, theirs = answers(tmp_path, frame, REFS, known_by=known_by, deleted_field="gone")
        assert theirs.equals(ours)
    assert theirs["flown__hours"].to_pylist() == [0, None, 0, None, None]


def test_corrections_win_and_ties_stay_one_row(tmp_path):
    """Difference: of rows with the same event and created time Spark takes any, we take the one that Redis would."""
    flown(tmp_path, times(-HOUR, -HOUR), times(-HOUR, -MICRO))
    ours, theirs = answers(tmp_path, at(timedelta(0)), REFS)
    assert theirs.equals(ours)
    assert ours["flown__hours"].to_pylist() == [1]
    flown(tmp_path, times(-HOUR, -HOUR), times(-HOUR, -HOUR))
    ours, theirs = answers(tmp_path, at(timedelta(0)), REFS)
    assert theirs.num_rows == ours.num_rows == 1
    assert theirs["flown__hours"][0].as_py() in (0, 1)
    assert ours["flown__hours"].to_pylist() == [1]


def test_keys_that_read_alike_together_are_one_to_spark(tmp_path):
    """Difference: Feast's SQL tells rows of the frame apart by their keys written one after the other."""
    both = {"event_timestamp": times(-HOUR, -HOUR), "created_timestamp": times(-HOUR, -HOUR)}
    write(tmp_path, "routes", carrier=["U", "UN"], tailnum=["N1", "1"], note=["a", "b"], **both)
    frame = pd.DataFrame({"row": [0, 1], "carrier": ["U", "UN"], "tailnum": ["N1", "1"], "event_timestamp": [NOW, NOW]})
    ours, theirs = answers(tmp_path, frame, ["routes:note"])
    assert ours["routes__note"].to_pylist() == ["a", "b"]
    assert theirs.num_rows == 4


def test_the_rest_of_the_store_is_ours(tmp_path):
    flown(tmp_path, times(-HOUR), times(-HOUR))
    store = opened(tmp_path, SPARK)
    row = {"tailnum": ["N1"], "hours": np.float32([9]), "cycles": [9]}
    store.write_to_offline_store(
        "flown", pd.DataFrame(row | dict.fromkeys(("event_timestamp", "created_timestamp"), NOW))
    )
    ours, theirs = answers(tmp_path, at(timedelta(0)), REFS)
    assert theirs.equals(ours)
    assert ours["flown__hours"].to_pylist() == [9]


def test_what_spark_cannot_answer_alike_is_refused(tmp_path):
    flown(tmp_path, times(-HOUR), times(-HOUR))
    store = opened(tmp_path, SPARK)
    with pytest.raises(FeastUnsupported, match="pandas entity frame"):
        store.get_historical_features(None, REFS, start_date=NOW - DAY, end_date=NOW)
    nanos = times(-HOUR).cast(pa.timestamp("ns", "UTC"))
    flown(tmp_path, nanos, nanos)
    with pytest.raises(FeastUnsupported, match=r"event_timestamp.*nanoseconds"):
        store.get_historical_features(at(timedelta(0)), REFS)
    view = store.get_feature_view("flown")
    view.ttl = timedelta(milliseconds=1500)
    store.apply([view])
    with pytest.raises(FeastUnsupported, match="whole seconds"):
        store.get_historical_features(at(timedelta(0)), REFS)
