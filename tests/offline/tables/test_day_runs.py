"""An external sort by day: whatever the order and the memory, each day has its rows in the order in which they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.offline.tables.day_runs import DayRuns

FIRST = datetime(1969, 12, 30, tzinfo=UTC)


def batch(hours: list[int], first: int) -> pa.RecordBatch:
    times = pa.array([FIRST + timedelta(hours=hour) for hour in hours], pa.timestamp("us", "UTC"))
    return pa.RecordBatch.from_pydict({"event_timestamp": times, "n": pa.array(range(first, first + len(hours)))})


@given(st.lists(st.lists(st.integers(0, 100), max_size=9), max_size=9), st.sampled_from([1, 200, 1 << 20]))
def test_rows_by_day_whatever_fits_into_memory(parts: list[list[int]], run_bytes: int):
    firsts = [sum(map(len, parts[:place])) for place in range(len(parts))]
    batches = [batch(hours, first) for hours, first in zip(parts, firsts, strict=True)]
    expected: dict[object, list[int]] = {}
    for number, hour in enumerate(hour for hours in parts for hour in hours):
        expected.setdefault((FIRST + timedelta(hours=hour)).date(), []).append(number)
    with DayRuns(iter(batches), "event_timestamp", run_bytes) as runs:
        assert runs.days() == sorted(expected)
        assert {day: rows["n"].to_pylist() for day, rows in runs.by_day()} == expected


def test_a_column_that_begins_as_null_gets_its_type():
    none = batch([1], 0).append_column("x", pa.nulls(1))
    some = batch([2], 1).append_column("x", pa.array([2.5]))
    with DayRuns([none, some], "event_timestamp", 1) as runs:
        assert [rows["x"].to_pylist() for _, rows in runs.by_day()] == [[None, 2.5]]


def test_temporary_files_go_even_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken():
        yield batch([1], 0)
        assert list(tmp_path.iterdir())
        raise ValueError("the source is gone")

    with pytest.raises(ValueError, match="the source is gone"), DayRuns(broken(), "event_timestamp", 1):
        pass
    assert list(tmp_path.iterdir()) == []
