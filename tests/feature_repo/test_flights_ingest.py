"""The flights through the door of every project's tables: days, types, order, and the same again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.tables import flights
from skewless.offline.tables import ingest
from tests.tables.flights import fill

START, END = date(2013, 4, 30), date(2013, 5, 2)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> ingest.IngestResult:
    return fill(tmp_path_factory.mktemp("data"), START, END)


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in state(folder).items()}


def test_every_table_is_there_with_the_days_of_the_range(ingested):
    expected = [table.name for table in flights.FEATURE_TABLES] + ["flight_spine"]
    assert [written.table for written in ingested.tables] == expected
    for written in ingested.tables:
        days = sorted(p.name for p in (ingested.data / written.table).iterdir())
        if written.table == "aircraft_static":
            assert days == ["day=2013-01-01"]
        else:
            assert days == ["day=2013-04-30", "day=2013-05-01"]
        assert written.files_written == len(days)
        stored = pq.read_table(ingested.data / written.table, partitioning=None)
        assert stored.num_rows == written.rows > 0


def test_files_hold_the_declared_types_in_order_of_keys_and_time(ingested):
    for table in (*flights.FEATURE_TABLES, flights.flight_spine()):
        for file in (ingested.data / table.name).rglob("*.parquet"):
            stored = pq.read_table(file, partitioning=None)
            assert stored.schema.equals(table.schema)
            order = [(key, "ascending") for key in (*table.keys, "event_timestamp")]
            assert stored.sort_by(order).equals(stored)


def test_a_second_run_changes_nothing_not_even_a_time(ingested):
    before = state(ingested.data)
    again = fill(ingested.data, START, END)
    assert [(w.files_written, w.files_removed) for w in again.tables] == [(0, 0)] * len(again.tables)
    assert [w.rows for w in again.tables] == [w.rows for w in ingested.tables]
    assert state(ingested.data) == before


def test_two_ranges_give_the_files_of_the_whole(ingested, tmp_path):
    middle = date(2013, 5, 1)
    fill(tmp_path, middle, END)
    fill(tmp_path, START, middle)
    assert contents(tmp_path) == contents(ingested.data)


def test_a_run_after_a_kill_makes_the_same_files(ingested, tmp_path):
    def killed(table: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, START, END, report=killed)
    (tmp_path / "origin_departures" / "day=2013-04-30" / ".part-0.parquet").write_bytes(b"half")
    assert 0 < len(contents(tmp_path)) < len(contents(ingested.data))
    fill(tmp_path, START, END)
    assert contents(tmp_path) == contents(ingested.data)


def test_progress_names_each_table(tmp_path):
    seen = []
    fill(tmp_path, date(2013, 5, 1), date(2013, 5, 2), report=lambda *step: seen.append(step))
    assert seen == [(w, n, 11) for n, w in enumerate([*(t.name for t in flights.FEATURE_TABLES), "flight_spine"])]


def test_the_leaky_tables_have_the_same_flights_at_other_times(ingested, tmp_path):
    fill(tmp_path, START, END, flights.tables(stamping="scheduled", lead=timedelta(0)))
    spine = pq.read_table(tmp_path / "flight_spine", partitioning=None)
    seconds = spine["event_timestamp"].cast(pa.int64()).to_numpy() // 1_000_000
    assert (seconds == spine["scheduled_departure_unix"].to_numpy()).all()
    one = pq.read_table(tmp_path / "aircraft_movements", partitioning=None)
    assert not one.equals(pq.read_table(ingested.data / "aircraft_movements", partitioning=None))
    assert min(one["event_timestamp"].to_pylist()) >= datetime(2013, 4, 30, tzinfo=UTC)
