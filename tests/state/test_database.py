from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text, update

from skewless.runtime.settings import ProjectSettings
from skewless.state.database import RunNotRunning, StateDatabase
from skewless.state.run_history import SCHEMA_VERSION, RunCounts, RunStatus, StateUnreachable
from skewless.state.schema import StateSchemaDiffers, schema_version

T = datetime(2013, 10, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return ProjectSettings(state=tmp_path / "state").state_url
    return ProjectSettings(state=tmp_path, state_url=request.getfixturevalue("postgres_url")).state_url


@pytest.fixture
def state(url: str) -> Iterator[StateDatabase]:
    state = StateDatabase(url)
    yield state
    state.close()


def begin(state: StateDatabase, view: str = "origin", end: datetime = T) -> int:
    return state.run_started("p", view, "materialize", window_start=end - HOUR, window_end=end, started_at=end)


def test_a_run_moves_its_views_watermark(state: StateDatabase):
    assert state.watermark("p", "origin") is None
    run = begin(state)
    assert state.watermark("p", "origin") is None
    assert state.run_finished(run, RunCounts(4, 3, 1, 2), finished_at=T + HOUR, watermark=T) == T
    assert state.watermark("p", "origin") == T
    assert state.watermark("p", "carrier") is None
    assert state.watermark("q", "origin") is None


def test_a_watermark_never_moves_backwards(state: StateDatabase):
    state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=T)
    early = T - timedelta(microseconds=1)
    assert state.run_finished(begin(state), RunCounts(), finished_at=T + HOUR, watermark=early) == T
    assert state.watermark("p", "origin") == T


def test_a_run_without_a_watermark_moves_none(state: StateDatabase):
    assert state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=None) is None
    state.run_failed(begin(state), "power cut", finished_at=T)
    assert state.watermark("p", "origin") is None


def test_a_run_records_the_newest_event_of_its_rows(state: StateDatabase):
    assert state.newest_event("p", "origin") is None
    state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=T, newest_event=T - HOUR)
    assert state.newest_event("p", "origin") == T - HOUR
    state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=None, newest_event=T - 2 * HOUR)
    state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=T + HOUR)
    assert state.newest_event("p", "origin") == T - HOUR, "neither older rows nor none move it back"
    assert (state.newest_event("p", "carrier"), state.newest_event("q", "origin")) == (None, None)


def test_a_store_that_is_filled_again_has_the_times_of_that_run(state: StateDatabase):
    def refilled(watermark: datetime, newest_event: datetime | None) -> tuple[datetime | None, datetime | None]:
        times = {"watermark": watermark, "newest_event": newest_event}
        state.run_finished(begin(state), RunCounts(), finished_at=T, **times, refill=True)
        return state.watermark("p", "origin"), state.newest_event("p", "origin")

    assert refilled(T, T) == (T, T)
    assert refilled(T - HOUR, T - 2 * HOUR) == (T - HOUR, T - 2 * HOUR)
    assert refilled(T, None) == (T, None)


def test_a_removed_view_is_forgotten(state: StateDatabase):
    for view in ("origin", "carrier"):
        state.run_finished(begin(state, view), RunCounts(), finished_at=T, watermark=T, newest_event=T)
    state.forget("q", ["carrier"])
    state.forget("p", ["origin"])
    assert (state.watermark("p", "origin"), state.newest_event("p", "origin")) == (None, None)
    assert (state.watermark("p", "carrier"), state.newest_event("p", "carrier")) == (T, T)
    assert len(state.runs("p")) == 2


def test_runs_are_told_whole_and_newest_first(state: StateDatabase):
    first, other, last = begin(state), begin(state, "carrier"), begin(state, end=T + HOUR)
    state.run_finished(first, RunCounts(4, 3, 1, 2), finished_at=T + HOUR, watermark=T)
    state.run_failed(last, "the store is full", finished_at=T + 2 * HOUR, counts=RunCounts(read=9))
    failed, done = state.runs("p", "origin")
    assert [run.id for run in state.runs("p")] == [last, other, first]
    assert [run.id for run in state.runs("p", limit=1)] == [last]
    assert (done.status, done.counts, done.finished_at, done.error) == (
        RunStatus.DONE, RunCounts(4, 3, 1, 2), T + HOUR, None,
    )  # fmt: skip
    assert (done.window_start, done.window_end, done.started_at) == (T - HOUR, T, T)
    assert (failed.status, failed.counts, failed.error) == (
        RunStatus.FAILED,
        RunCounts(read=9),
        "the store is full",
    )
    assert state.runs("p", "carrier")[0].status is RunStatus.RUNNING


def test_a_run_ends_once(state: StateDatabase):
    run = begin(state)
    state.run_failed(run, "no", finished_at=T)
    for again in (run, run + 1000):
        with pytest.raises(RunNotRunning, match=f"run {again} is not running"):
            state.run_finished(again, RunCounts(), finished_at=T, watermark=T)
    assert state.watermark("p", "origin") is None
    assert state.runs("p")[0].status is RunStatus.FAILED


def test_times_come_back_in_utc_to_the_microsecond(state: StateDatabase):
    newfoundland = timezone(timedelta(hours=-3, minutes=-30))
    state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=T.astimezone(newfoundland))
    state.run_finished(
        begin(state), RunCounts(), finished_at=T, watermark=None, newest_event=T.astimezone(newfoundland)
    )
    for back in (state.watermark("p", "origin"), state.newest_event("p", "origin")):
        assert back == T
        assert back.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(state: StateDatabase):
    with pytest.raises(Exception, match="has no time zone"):
        begin(state, end=datetime(2013, 10, 1))
    assert state.runs("p") == []


def test_opening_again_keeps_everything(state: StateDatabase, url: str):
    state.run_finished(begin(state), RunCounts(), finished_at=T, watermark=T)
    again = StateDatabase(url)
    assert again.watermark("p", "origin") == T
    again.close()


def test_a_database_of_another_version_is_refused(state: StateDatabase, url: str):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(schema_version).values(version=SCHEMA_VERSION + 1))
    engine.dispose()
    with pytest.raises(StateSchemaDiffers, match=f"version {SCHEMA_VERSION + 1}"):
        StateDatabase(url)


def test_threads_share_a_state(state: StateDatabase):
    """Many runs end at once: none is lost, and the latest watermark and the newest event stay."""
    ends = [T + timedelta(minutes=minute) for minute in range(40)]
    random.Random(7).shuffle(ends)

    def work(end: datetime) -> None:
        times = {"finished_at": end, "watermark": end, "newest_event": end - HOUR}
        state.run_finished(begin(state, end=end), RunCounts(written=1), **times)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, ends))
    assert state.watermark("p", "origin") == max(ends)
    assert state.newest_event("p", "origin") == max(ends) - HOUR
    assert {run.status for run in state.runs("p")} == {RunStatus.DONE}
    assert len(state.runs("p")) == 40


RACER = """
import sys
from datetime import datetime, timedelta, UTC
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts
url, offset = sys.argv[1], int(sys.argv[2])
state = StateDatabase(url)
for minute in range(offset, 60, 2):
    at = datetime(2013, 10, 1, 0, minute, tzinfo=UTC)
    run = state.run_started("p", "origin", "materialize", window_start=None, window_end=at, started_at=at)
    state.run_finished(run, RunCounts(written=1), finished_at=at, watermark=at)
"""


def test_processes_race_from_an_empty_database_on(url: str):
    racers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", RACER, url, str(offset)], stderr=subprocess.PIPE)
        for offset in (0, 1)
    ]
    for racer in racers:
        _, told = racer.communicate(timeout=300)
        assert racer.returncode == 0, told.decode()
    state = StateDatabase(url)
    assert state.watermark("p", "origin") == datetime(2013, 10, 1, 0, 59, tzinfo=UTC)
    assert len(state.runs("p")) == 60
    state.close()


def test_sqlite_lets_readers_read_while_a_writer_writes(tmp_path: Path):
    url = ProjectSettings(state=tmp_path).state_url
    state = StateDatabase(url)
    begin(state)
    engine = create_engine(url)
    with engine.connect() as writer:
        assert writer.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        writer.exec_driver_sql("BEGIN IMMEDIATE")
        assert len(state.runs("p")) == 1
    engine.dispose()
    state.close()


def test_an_unreachable_database_is_named_without_its_password():
    with pytest.raises(StateUnreachable, match="SKEWLESS_STATE_URL") as refused:
        StateDatabase("postgresql+psycopg://u:hidden@127.0.0.1:1/db")
    assert "hidden" not in str(refused.value)
