"""Retrieval without an entity frame: the entities of a time range as of its end."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from feast.errors import RequestDataNotFoundInEntityDfException

from tests.tables.scratch_project import DAY, HOUR, NOW, ScratchProject, times

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:feast", "ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def tables(project: ScratchProject) -> None:
    project.write(
        "told",
        tailnum=["N2", "N1", "N1", "old", "new", None],
        fuel=pa.array([1, 2, 3, 4, 5, 6], pa.float32()),
        gate=[1, 2, 3, 4, 5, 6],
        event_timestamp=times(-HOUR, -HOUR, -2 * HOUR, -3 * DAY, HOUR, -HOUR),
        created_timestamp=times(-HOUR, -HOUR, -2 * HOUR, -3 * DAY, HOUR, -HOUR),
    )
    project.write(
        "legs",
        carrier=["AA", "AA", "DL"],
        number=[2, 1, None],
        min=[10.0, 20.0, 30.0],
        stops=pa.array([1, 2, 3], pa.int32()),
        last=times(-HOUR, -HOUR, -HOUR),
        digest=[b"1", b"2", b"3"],
        event_timestamp=times(-HOUR, -HOUR, -HOUR),
    )
    project.write(
        "city",
        mean=pa.array([7], pa.float32()),
        event_timestamp=times(-HOUR),
        created_timestamp=times(-HOUR),
    )


def between(project: ScratchProject, *features: str, start=NOW - DAY, end=NOW, **options):
    return project.store().get_historical_features(None, list(features), start_date=start, end_date=end, **options)


def test_each_entity_is_one_row_as_of_the_end(project):
    job = between(project, "told:fuel")
    assert job.to_arrow().to_pylist() == [
        {"tailnum": "N1", "event_timestamp": NOW, "fuel": 2.0},
        {"tailnum": "N2", "event_timestamp": NOW, "fuel": 1.0},
    ]
    assert (job.metadata.min_event_timestamp, job.metadata.max_event_timestamp) == (NOW - DAY, NOW)
    assert job.metadata.keys == ["tailnum"]
    assert job.to_df()["tailnum"].tolist() == ["N1", "N2"]


@pytest.mark.parametrize(
    ("start", "end", "tails"),
    [
        (NOW - HOUR, NOW - HOUR, ["N1", "N2"]),
        (NOW - HOUR + timedelta(microseconds=1), NOW, []),
        (NOW - 2 * HOUR, NOW - HOUR - timedelta(microseconds=1), ["N1"]),
        (NOW - 5 * DAY, NOW + DAY, ["N1", "N2", "new", "old"]),
        (NOW - 50 * DAY, NOW - 49 * DAY, []),
        (None, NOW, ["N1", "N2"]),
    ],
)
def test_both_ends_count(project, start, end, tails):
    """Without a start Feast goes back as far as the longest ttl, here one day."""
    assert between(project, "told:fuel", start=start, end=end).to_arrow()["tailnum"].to_pylist() == tails


def test_naive_ends_are_utc(project):
    naive = [(NOW + offset).replace(tzinfo=None) for offset in (-HOUR, -HOUR / 2)]
    job = between(project, "told:fuel", start=naive[0], end=naive[1])
    assert job.to_arrow()["event_timestamp"].to_pylist() == [NOW - HOUR / 2] * 2


def test_views_of_several_entities_stand_side_by_side(project):
    """Feast's file store joins every entity to every other one here."""
    rows = between(project, "told:fuel", "legs:minutes", "city:mean").to_arrow().to_pylist()
    found = [(row["tailnum"], row["carrier"], row["number"], row["fuel"], row["minutes"], row["mean"]) for row in rows]
    assert found == [
        ("N1", None, None, 2, None, 7),
        ("N2", None, None, 1, None, 7),
        (None, "AA", 1, None, 20, 7),
        (None, "AA", 2, None, 10, 7),
    ]


def test_a_view_of_no_entity_is_one_row(project):
    assert between(project, "city:mean").to_arrow().to_pylist() == [{"event_timestamp": NOW, "mean": 7.0}]


def test_request_data_has_nowhere_to_come_from(project):
    row = {"tailnum": ["N1"], "hours": pa.array([1], pa.float32()), "gone": [False]}
    known = {"event_timestamp": times(-HOUR), "created_timestamp": times(-HOUR)}
    project.write("flown", **row, **known, cycles=[1], note=["a"], grounded=[False])
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="hour"):
        between(project, "rush:swell")


def test_a_frame_and_a_range_are_refused_by_feast(project):
    with pytest.raises(ValueError, match="Cannot specify both"):
        project.store().get_historical_features("SELECT 1", ["told:fuel"], end_date=NOW)
