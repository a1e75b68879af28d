"""Locks between real processes: one owner at a time, bounded waiting, the owner named, and a killed owner's lock is free."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
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
from skewless.state.locks import LockBusy, file_lock
from skewless.state.run_history import RunStatus
from tests.faults import lock_holders
from tests.faults.killed_calls import lives, spawner
from tests.services.waiting import until
from tests.tables.histories import source
from tests.tables.view_project import SEEN, ViewProject, at, differences_at_watermark, row

SOON, AT_ONCE = timedelta(seconds=0.2), timedelta(0)
LONG = timedelta(seconds=60)
ROWS = 200
LAST = f"N{ROWS - 1:03d}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture(scope="module")
def spawn() -> Iterator[Callable[..., int]]:
    with spawner("tests.faults.lock_holders", "act") as spawn:
        yield spawn


def killed(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    until(lambda: not lives(process))


def test_the_error_after_a_wait_names_the_owner_and_a_killed_owner_blocks_nobody(url: str, tmp_path: Path, spawn):
    locked = tmp_path / "locked"
    process = spawn("hold", url, str(locked), 600)
    until(locked.exists)
    with closing(StateDatabase(url)) as state:
        begun = time.monotonic()
        message = (
            rf"`skewless materialize` \(process {process} on .* works on feature view 'seen' of project 'tests' and"
        )
        with pytest.raises(LockBusy, match=message) as refused, state.lock("tests", ["other", "seen"], "erase", SOON):
            raise AssertionError("two have the lock")
        assert time.monotonic() - begun >= 0.2
        assert refused.value.transient
        with state.lock("tests", ["other"], "erase", AT_ONCE), state.lock("others", ["seen"], "erase", AT_ONCE):
            assert lives(process)
        killed(process)
        with state.lock("tests", ["seen"], "erase", LONG):
            pass


def test_waiting_long_enough_gets_the_lock(url: str, tmp_path: Path, spawn):
    locked = tmp_path / "locked"
    process = spawn("hold", url, str(locked), 0.5)
    until(locked.exists)
    with closing(StateDatabase(url)) as state, state.lock("tests", ["seen"], "erase", LONG):
        until(lambda: not lives(process))


def test_a_lock_ends_with_its_block_whatever_happens(url: str):
    with closing(StateDatabase(url)) as state:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), state.lock("tests", ["b", "a", "b"], "erase", AT_ONCE):
                raise ZeroDivisionError
            with state.lock("tests", ["a", "b"], "materialize", AT_ONCE):
                pass


def test_a_file_lock_names_the_last_owner_only(tmp_path: Path):
    lock = tmp_path / "lock"
    with file_lock(lock, "it", "a verb with a long name"):
        pass
    message = r"^`skewless v` \(process \d+ on \S+\) works on it and"
    with file_lock(lock, "it", "v"), pytest.raises(LockBusy, match=message), file_lock(lock, "it", "w", AT_ONCE):
        raise AssertionError("two have the lock")


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Iterator[ViewProject]:
    """Entities whose rows are written slowly by another process."""
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as client:
        made = ViewProject(tmp_path / "data", state, client)
        made.write(*[row(f"N{number:03d}", 1, 1) for number in range(ROWS)])
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def begun(project: ViewProject, gate: Path, tmp_path: Path, redis_url: str, spawn) -> int:
    """A materialization that is under way, and ends only once `gate` is there."""
    state = f"sqlite:///{tmp_path / 'state.db'}"
    process = int(spawn("slowly", state, redis_url, str(project.data), str(gate), 2))
    until(lambda: project.redis.dbsize() > 5)
    assert project.redis.dbsize() < ROWS
    return process


def test_two_materializations_in_two_processes_come_one_after_the_other(project: ViewProject, begun: int, gate: Path):
    windows = plan_windows(project.state, "tests", [(SEEN, source(project.data, SEEN))], end=at(3))
    run = (windows, OnlineProject("tests", SyncOnlineStore(project.redis, "tests"), project.state))
    with pytest.raises(LockBusy, match=rf"process {begun} on"):
        materialize.run(*run, clock=lambda: at(4), wait=AT_ONCE)
    assert lives(begun)
    gate.touch()
    materialize.run(*run, clock=lambda: at(4), wait=LONG)
    assert [one.status for one in project.state.runs("tests")] == [RunStatus.DONE] * 2
    assert project.watermark == at(3)
    assert differences_at_watermark(project) == 0


def test_a_killed_materialization_is_taken_up_at_once(project: ViewProject, begun: int):
    killed(begun)
    project.run(3)
    assert differences_at_watermark(project) == 0


def test_an_erasure_waits_for_a_materialization_that_has_read_the_subject(
    project: ViewProject, begun: int, gate: Path, tmp_path, redis_url
):
    """Else its rows would come online after the receipt said that they are gone."""
    given = (f"sqlite:///{tmp_path / 'state.db'}", redis_url, str(project.data), LAST)
    with pytest.raises(LockBusy, match=rf"process {begun} on"):
        lock_holders.erased(*given, AT_ONCE)
    assert not list(tmp_path.glob("erasures/*")), "nothing was begun"
    gate.touch()
    receipt = lock_holders.erased(*given, LONG)
    assert not lives(begun)
    assert (receipt.status, receipt.online_entities, len(receipt.files)) == ("done", 1, 1)
    assert project.online_row(LAST) is None
    assert differences_at_watermark(project) == 0
    project.run(3, full=True)
    assert project.online_row(LAST) is None
