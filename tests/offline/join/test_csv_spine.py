"""A spine in a CSV file is the same rows as in Parquet, in the types that are declared."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from skewless.offline.join.csv_spine import read_csv
from skewless.offline.join.spine import SpineFiles, declared_types
from skewless.runtime.errors import SpineMismatch, SpineUnreadable
from tests.models import tiny

YEAR = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
ROWS = """event_timestamp,origin,tailnum,hour,late,known_at,note
2013-03-01T12:00:00Z,0042,7,9,true,2013-03-02,a
2013-03-01 10:00:00,0043,8,8,false,,
2013-03-01T13:30:00+02:00,JFK,9,7,,2013-03-03T01:00:00.5Z,b
2012-12-31,JFK,9,7,true,2013-01-01,c
"""


@pytest.fixture(params=["months.csv", "months.csv.gz"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / request.param
    path.write_bytes(gzip.compress(ROWS.encode()) if path.suffix == ".gz" else ROWS.encode())
    return path


def test_keys_and_times_have_the_declared_types_and_the_rows_the_order_of_time(file: Path):
    table = SpineFiles(file, *YEAR, declared_types(tiny.plan(), "known_at")).table()
    assert table.column("origin").to_pylist() == ["0043", "JFK", "0042"], "a text key keeps its zeros"
    assert table.column("tailnum").to_pylist() == ["8", "9", "7"]
    assert table.schema.field("hour").type == pa.int64()
    assert table.column("event_timestamp").to_pylist() == [
        datetime(2013, 3, 1, hour, minute, tzinfo=UTC) for hour, minute in ((10, 0), (11, 30), (12, 0))
    ]
    assert table.column("known_at").to_pylist() == [
        None,
        datetime(2013, 3, 3, 1, 0, 0, 500_000, tzinfo=UTC),
        datetime(2013, 3, 2, tzinfo=UTC),
    ]
    assert table.column("late").to_pylist() == [False, None, True]
    assert table.column("note").to_pylist() == [None, "b", "a"]


def test_without_a_plan_the_times_are_times_all_the_same(file: Path):
    assert len(SpineFiles(file, *YEAR).table()) == 3


def test_what_does_not_fit_is_refused_with_column_and_row(tmp_path: Path):
    path = tmp_path / "months.csv"
    types = {"event_timestamp": pa.timestamp("us", "UTC"), "hour": pa.int64()}
    path.write_text("event_timestamp,hour\n2013-03-01,1\nnoon,2\n")
    with pytest.raises(
        SpineMismatch, match=r"'event_timestamp' is 'noon' in row 1 \(counted from 0\), which is no ISO"
    ):
        read_csv(path, types)
    path.write_text("event_timestamp,hour\n2013-03-01,one\n")
    with pytest.raises(SpineMismatch, match=r"'hour' is 'one' in row 0 \(counted from 0\), which is no int64"):
        read_csv(path, types)
    path.write_text("event_timestamp,hour\n2013-03-01,1\n,2\n")
    with pytest.raises(SpineMismatch, match=r"is null in rows 1 \(counted from 0\); each row needs a time"):
        SpineFiles(path, *YEAR)
    path.write_text("")
    with pytest.raises(SpineUnreadable):
        read_csv(path, types)
