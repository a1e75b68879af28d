"""The watermark and the clock: what is created now may still be on its way to its table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.oracles import packed_row
from tests.tables.histories import source
from tests.tables.view_project import SEEN, ViewProject, at, row


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Iterator[ViewProject]:
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
        yield ViewProject(tmp_path / "data", state, redis)


def test_the_watermark_stays_behind_the_clock_whatever_the_end(project: ViewProject):
    """An end that lies ahead (a typing error, the hour that is not over) says nothing of rows that are yet to come."""
    project.write(row("N1", 0, 0), row("N2", 150, 0))
    project.run(1_000)
    assert project.online_row("N1")
    assert project.online_row("N2") is None, "it would hide what counts until then"
    assert project.watermark == at(99) - materialize.SETTLED
    project.write(row("N1", 99, 99, 2))
    project.run(101)
    assert project.online_row("N1") == packed_row(row("N1", 99, 99, 2))
    assert project.watermark == at(99) - materialize.SETTLED


def test_windows_that_end_at_the_clock_follow_one_another_without_a_gap(project: ViewProject):
    """As Feast's `materialize-incremental` asks for them: each starts where the one before ended."""
    project.write(row("N1", 0, 0))
    project.run(99)
    assert project.watermark == at(99) - materialize.SETTLED
    views, store = [(SEEN, source(project.data, SEEN))], SyncOnlineStore(project.redis, "tests")
    for hour in (100, 101):
        late = row("N1", hour - 1 - 5 / 3600, hour - 1 - 5 / 3600, hour)
        project.write(late)
        (window,) = plan_windows(project.state, "tests", views, start=at(hour - 1), end=at(hour))
        assert (window.start, window.advance) == (at(hour - 1) - materialize.SETTLED, True)
        materialize.run([window], OnlineProject("tests", store, project.state), clock=lambda hour=hour: at(hour))
        assert project.watermark == at(hour) - materialize.SETTLED
        assert project.online_row("N1") == packed_row(late), "it was on its way when the window before ended"
    later = at(101) + timedelta(microseconds=1)
    (window,) = plan_windows(project.state, "tests", views, start=later, end=at(102))
    assert (window.start, window.advance) == (later, False), "that is a gap"


def test_a_row_that_came_to_its_table_a_little_late_is_not_lost(project: ViewProject):
    """A push that was received before the run's end, whose part was written after the run had listed the files, and
    whose write to the store failed.
    """
    project.write(row("N1", 0, 0))
    project.run(99)
    project.write(row("N2", 99 - 5 / 3600, 99 - 5 / 3600))
    project.run(99.5)
    assert project.online_row("N2") == packed_row(row("N2", 99 - 5 / 3600, 99 - 5 / 3600))
