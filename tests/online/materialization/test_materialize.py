"""Windows and watermarks: what a run takes, what waits, and that no failure loses a row."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.plan import JoinKey, PlanView
from skewless.contract.storage.catalog import catalog_key, view_field
from skewless.contract.timestamps import to_micros
from skewless.offline.tables.source import TableSource
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import ArrivalWindow, plan_windows
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.errors import SourceMismatch, SourceMissing
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts, RunStatus
from tests.oracles import Row, entity_key, packed_row
from tests.tables.histories import source
from tests.tables.view_project import HOUR, SEEN, T0, TRUE, ViewProject, at, row


@pytest.fixture
def store(redis: Redis) -> SyncOnlineStore:
    return SyncOnlineStore(redis, "tests")


@pytest.fixture
def true_project(tmp_path: Path, state: StateDatabase, redis: Redis) -> ViewProject:
    return ViewProject(tmp_path / "data", state, redis, TRUE)


def planned(state: StateDatabase, **options) -> list[tuple[datetime | None, datetime, bool]]:
    nowhere = TableSource("seen", Path("/none"), "event_timestamp", None)
    return [(w.start, w.end, w.advance) for w in plan_windows(state, "tests", [(SEEN, nowhere)], **options)]


def mark(state: StateDatabase, watermark: datetime) -> None:
    run = state.run_started("tests", "seen", "materialize", window_start=None, window_end=watermark, started_at=T0)
    state.run_finished(run, RunCounts(), finished_at=T0, watermark=watermark)


def test_the_first_window_begins_with_time_and_the_next_at_the_watermark(state: StateDatabase):
    assert planned(state, end=at(1)) == [(None, at(1), True)]
    mark(state, at(1))
    assert planned(state, end=at(2)) == [(at(1), at(2), True)]
    assert planned(state, end=at(1)) == []
    assert planned(state, end=at(0)) == []
    assert planned(state, end=at(1), full=True) == [(None, at(1), True)]


def test_a_window_that_leaves_a_gap_does_not_move_the_watermark(state: StateDatabase):
    assert planned(state, end=at(2), start=at(1)) == [(at(1), at(2), False)]
    mark(state, at(1))
    assert planned(state, end=at(3), start=at(2)) == [(at(2), at(3), False)]
    assert planned(state, end=at(3), start=at(1)) == [(at(1), at(3), True)]
    assert planned(state, end=at(3), start=at(0)) == [(at(0), at(3), True)]
    assert planned(state, end=at(3), start=at(3)) == []


def test_a_table_without_created_timestamps_is_read_again_for_late_rows(
    tmp_path: Path, state: StateDatabase, redis: Redis
):
    project = ViewProject(tmp_path / "data", state, redis)
    views = [(SEEN, TableSource("seen", project.data / "seen", "event_timestamp", None))]
    store = SyncOnlineStore(redis, "tests")

    def run(end: float) -> RunCounts:
        stored = store.stored_views([SEEN])
        windows = plan_windows(state, "tests", views, end=at(end), overlap=2 * HOUR, stored=stored)
        return materialize.run(windows, OnlineProject("tests", store, state), clock=lambda: at(99))["seen"]

    project.write(row("N1", 1, 1))
    assert run(4) == RunCounts(read=1, written=1)
    project.write(row("N2", 2, 2), row("N3", 3, 3), row("N4", 5, 5))
    assert run(5) == RunCounts(read=2, written=2), "2 hours before the watermark are read again, its end not included"
    assert planned(state, end=at(5)) == []
    assert project.watermark == at(5)
    assert plan_windows(state, "tests", views, end=at(5), overlap=HOUR, stored=store.stored_views([SEEN])) == []


def test_a_window_tells_what_it_is():
    window = ArrivalWindow(SEEN, TableSource("seen", Path("/none"), "e", None), None, at(1), advance=True)
    assert str(window) == "seen: (the beginning, 2013-10-01T13:00:00+00:00]"
    window = ArrivalWindow(SEEN, TableSource("seen", Path("/none"), "e", None), at(0), at(1), advance=True)
    assert str(window) == "seen: (2013-10-01T12:00:00+00:00, 2013-10-01T13:00:00+00:00]"


def test_both_ends_of_a_window(project: ViewProject):
    project.write(row("N1", 0, 0), row("N2", 1, 1), row("N3", 2, 2))
    assert project.run(1, start=at(0)) == RunCounts(read=1, written=1)
    assert [project.online_row(tail) is not None for tail in ("N1", "N2", "N3")] == [False, True, False]
    assert project.watermark is None


def test_a_row_of_the_future_waits_and_arrives(project: ViewProject):
    early, forecast = row("N1", 0, 0, 1), row("N1", 3, 1, 2)
    project.write(early, forecast)
    assert project.run(2) == RunCounts(read=1, written=1, held_back=1)
    assert project.online_row() == packed_row(early)
    assert project.run(2.5) == RunCounts()
    assert project.run(3) == RunCounts(read=1, written=1)
    assert project.online_row() == packed_row(forecast)


def test_a_row_that_is_known_later_waits(project: ViewProject, true_project: ViewProject):
    known, backfill = row("N1", 0, 0, 1), row("N1", 1, 5, 2)
    for each in (project, true_project):
        each.write(known, backfill)
        each.run(2)
    assert project.online_row() == packed_row(known)
    assert true_project.online_row() == packed_row(backfill), "a backfilled row counts from its event time"
    project.run(5)
    assert project.online_row() == packed_row(backfill)


@pytest.mark.parametrize("view", [SEEN, TRUE])
def test_a_late_row_reaches_the_store_if_it_is_the_newest(tmp_path, state, redis, view):
    project = ViewProject(tmp_path / "data", state, redis, view)
    project.write(row("N1", 0, 0), row("N2", 4, 4))
    project.run(5)
    late, too_late = row("N1", 1, 6), row("N2", 3, 6)
    project.write(late, too_late)
    assert project.run(7) == RunCounts(read=2, written=1, skipped_older=1)
    assert project.online_row("N1") == packed_row(late)
    assert project.online_row("N2") == packed_row(row("N2", 4, 4))


@pytest.mark.parametrize("view", [SEEN, TRUE])
def test_a_correction_wins_and_a_tombstone_deletes(tmp_path, state, redis, view):
    project = ViewProject(tmp_path / "data", state, redis, view)
    project.write(row("N1", 0, 0, 1))
    project.run(1)
    correction, gone = row("N1", 0, 2, None), row("N1", 3, 3, None, gone=True)
    project.write(correction)
    assert project.run(2) == RunCounts(read=1, written=1)
    assert project.online_row() == packed_row(correction)
    project.write(gone)
    project.run(3)
    assert project.online_row() == packed_row(gone)


def test_a_run_that_is_repeated_writes_nothing(project: ViewProject):
    project.write(row("N1", 0, 0), row("N1", 1, 1), row("N2", 1, 1))
    assert project.run(2) == RunCounts(read=3, written=2, skipped_older=1)
    assert project.run(2) is None
    assert project.run(2, full=True) == RunCounts(read=3, written=0, skipped_older=3)
    assert project.watermark == at(2)


def test_rows_with_a_null_key_are_nobodys(project: ViewProject):
    nobody = Row((None,), to_micros(at(0)), to_micros(at(0)), False, (1,), SEEN.fields)
    project.write(nobody, row("N1", 0, 0))
    assert project.run(1).written == 1
    assert len(project.redis.keys()) == 2, "the catalog and N1"


def test_keys_that_are_times(tmp_path: Path, state: StateDatabase, redis: Redis):
    view = msgspec.structs.replace(SEEN, join_keys=(JoinKey("due", "due", "UnixTimestamp"),), deleted_field=None)
    project = ViewProject(tmp_path / "data", state, redis, view)
    times = (to_micros(at(0)), to_micros(at(0)))
    project.write(Row((to_micros(T0),), *times, False, (1,), SEEN.fields), Row((None,), *times, False, (2,), ()))
    assert project.run(1).written == 1
    assert redis.hkeys(entity_key("tests", {"due": ("UnixTimestamp", to_micros(T0))})) == [b"seen"]


def test_every_run_is_noted(project: ViewProject, state: StateDatabase):
    project.write(row("N1", 0, 0))
    project.run(1)
    project.run(3, start=at(2))
    last, first = state.runs("tests", "seen")
    assert (first.verb, first.window_start, first.window_end) == ("materialize", None, at(1))
    assert (first.status, first.counts, first.error) == (RunStatus.DONE, RunCounts(read=1, written=1), None)
    assert (last.window_start, last.window_end, last.counts) == (at(2), at(3), RunCounts())
    assert project.watermark == at(1)


def test_it_tells_how_many_rows_it_has_read(project: ViewProject, state: StateDatabase, store: SyncOnlineStore):
    project.write(row("N1", 0, 0), row("N2", 0, 0))
    windows = plan_windows(state, "tests", [(SEEN, source(project.data, SEEN))], end=at(1))
    told = []
    materialize.run(
        windows, OnlineProject("tests", store, state), clock=lambda: T0, report=lambda *item: told.append(item)
    )
    assert told[0] == ("seen", 0, 2)
    assert told[-1] == ("seen", 2, 2)


def test_a_bad_table_is_refused_before_anything_is_written(project: ViewProject, state: StateDatabase, redis: Redis):
    with pytest.raises(SourceMissing, match="seen"):
        project.run(1)
    (project.data / "seen").mkdir(parents=True)
    bad = pa.table(
        {"event_timestamp": [T0], "created_timestamp": [T0], "tail": ["N1"], "miles": ["far"], "gone": [False]}
    )
    pq.write_table(bad, project.data / "seen" / "part.parquet")
    with pytest.raises(SourceMismatch, match=r"'miles'.*string.*int64"):
        project.run(1)
    assert redis.keys() == []
    assert project.watermark is None
    assert [(run.status, run.error.partition(":")[0]) for run in state.runs("tests")] == [
        (RunStatus.FAILED, "SourceMismatch"),
        (RunStatus.FAILED, "SourceMissing"),
    ]


def test_a_run_registers_what_its_view_means(project: ViewProject, redis: Redis):
    project.write()
    project.run(1)
    assert msgspec.json.decode(redis.hget(catalog_key("tests"), view_field("seen")), type=PlanView) == SEEN


def test_the_clock_is_the_callers(project: ViewProject, state: StateDatabase):
    project.write()
    project.run(1)
    assert state.runs("tests")[0].finished_at == at(99)
