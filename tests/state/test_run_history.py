"""The reader without SQLAlchemy beside the state database, which is its slow definition."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts, SqliteRunHistory, StateUnreachable

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
times = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])
)
names = st.sampled_from(["spend", "Spend", "a'b", "ü"])


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/state.db"


@given(
    st.lists(
        st.tuples(names, names, st.none() | times, times, st.sampled_from(["done", "failed", "running"])), max_size=6
    )
)
def test_it_reads_what_the_state_database_reads(tmp_path_factory: pytest.TempPathFactory, runs):
    place = url(tmp_path_factory.mktemp("state"))
    state = StateDatabase(place)
    for project, view, start, end, ending in runs:
        run = state.run_started(project, view, "materialize", window_start=start, window_end=end, started_at=end)
        if ending == "done":
            state.run_finished(run, RunCounts(4, 3, 2, 1), finished_at=NOON, watermark=end, newest_event=start)
        elif ending == "failed":
            state.run_failed(run, "no rows", finished_at=NOON, counts=RunCounts(read=1))
    history = SqliteRunHistory.open(place)
    assert history is not None
    for project in ("spend", "Spend", "a'b", "ü", "none"):
        assert history.runs(project) == state.runs(project)
        assert history.runs(project, limit=2) == state.runs(project, limit=2)
        for view in ("spend", "Spend", "a'b", "ü", "none"):
            assert history.watermark(project, view) == state.watermark(project, view)
            assert history.newest_event(project, view) == state.newest_event(project, view)
            assert history.runs(project, view, limit=1) == state.runs(project, view, limit=1)
    history.close()
    state.close()


def test_a_database_of_before_newest_events_is_left_to_the_state_database(tmp_path: Path):
    StateDatabase(url(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as older:
        older.execute("DROP TABLE newest_events")
        older.commit()
    assert SqliteRunHistory.open(url(tmp_path)) is None
    StateDatabase(url(tmp_path)).close()
    history = SqliteRunHistory.open(url(tmp_path))
    assert history is not None
    assert history.newest_event("spend", "spend") is None
    history.close()


def test_it_writes_nothing(tmp_path: Path):
    StateDatabase(url(tmp_path)).close()
    history = SqliteRunHistory.open(url(tmp_path))
    assert history is not None
    with pytest.raises(StateUnreachable, match="readonly"):
        history._rows("DELETE FROM runs")
    history.close()


@pytest.mark.parametrize("suffix", ["", "?timeout=3"])
def test_what_is_no_file_is_left_to_the_state_database(tmp_path: Path, suffix: str):
    assert SqliteRunHistory.open(url(tmp_path) + suffix) is None
    assert list(tmp_path.iterdir()) == []
    assert SqliteRunHistory.open("postgresql+psycopg://user@host/state") is None
    assert SqliteRunHistory.open("sqlite://") is None


@pytest.mark.parametrize("made", ["CREATE TABLE other (x)", "CREATE TABLE skewless_schema AS SELECT 2 AS version"])
def test_another_schema_is_left_to_the_state_database(tmp_path: Path, made: str):
    with closing(sqlite3.connect(tmp_path / "state.db")) as other:
        other.execute(made)
        other.commit()
    assert SqliteRunHistory.open(url(tmp_path)) is None


def test_a_file_that_is_no_database_is_left_to_the_state_database(tmp_path: Path):
    (tmp_path / "state.db").write_text("no database")
    assert SqliteRunHistory.open(url(tmp_path)) is None
