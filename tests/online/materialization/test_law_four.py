"""Law 4 on a real server: newest wins and nothing is lost, whatever happens on the way. `verify` is the judge."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from sqlalchemy import create_engine, make_url, text

from skewless.contract.errors import RowsLost, SkewlessError
from skewless.contract.plan import Field
from skewless.contract.state_folder import StateFolders
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.store import embedded_valkey
from skewless.online.store import store as online
from skewless.online.store.connection import RedisUnreachable, connect
from skewless.online.store.lua_pipeline import LuaPipeline
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunStatus, StateUnreachable
from tests.checkout import ROOT
from tests.oracles import Row, entity_key, packed_row
from tests.tables.histories import source
from tests.tables.view_project import SEEN, ViewProject, at, differences_at_watermark, row

KILLS = 50


def arriving(hour: int, rows: int, chance: random.Random) -> list[Row]:
    """What is known since `hour`: new and late rows, corrections, tombstones."""
    return [
        row(f"N{chance.randrange(80)}", chance.randrange(hour + 1), hour, number, gone=chance.random() < 0.1)
        for number in range(rows)
    ]


def test_each_day_of_a_life_leaves_no_difference(project: ViewProject):
    chance = random.Random(4)
    for hour in range(12):
        project.write(*arriving(hour, 60, chance), row("N1", hour + 3, hour))
        project.run(hour)
        assert differences_at_watermark(project) == 0


def test_a_schema_that_changes_between_runs(project: ViewProject):
    project.write(*arriving(0, 50, random.Random(5)))
    project.run(1)
    project.view = msgspec.structs.replace(SEEN, fields=(*SEEN.fields, Field("hours", "Float64")))
    later = [row(f"N{number}", 1, 2) for number in range(20)]
    fields = project.view.fields
    project.write(*[Row(one.key, one.event, one.created, False, (7, 0.5), fields) for one in later])
    project.run(3)
    assert differences_at_watermark(project) == 0


def test_two_runs_at_once(project: ViewProject, state: StateDatabase, redis: Redis):
    project.write(*arriving(3, 4_000, random.Random(6)))
    windows = plan_windows(state, "tests", [(SEEN, source(project.data, SEEN))], end=at(4))
    runs = [
        threading.Thread(
            target=materialize.run,
            args=(windows, OnlineProject("tests", SyncOnlineStore(redis, "tests"), state)),
            kwargs={"clock": lambda: at(5)},
        )
        for _ in range(2)
    ]
    for one in runs:
        one.start()
    for one in runs:
        one.join(60)
    assert [one.status for one in state.runs("tests")] == [RunStatus.DONE] * 2
    assert differences_at_watermark(project) == 0


@contextmanager
def forking(project: ViewProject, state_url: str, redis_url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.killed_runs", state_url, redis_url, str(project.data)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def test_runs_that_are_killed_at_any_instant(project: ViewProject, tmp_path: Path, redis_url: str):
    chance, hours = random.Random(7), count()
    killed, project.now = 0, 10_000

    def dies(seconds: float) -> bool:
        hour = next(hours)
        project.write(*arriving(hour, 200, chance))
        process.stdin.write(f"{hour} {seconds}\n")
        process.stdin.flush()
        return int(process.stdout.readline()) == -signal.SIGKILL

    with forking(project, f"sqlite:///{tmp_path / 'state.db'}", redis_url) as process:
        whole = 0.05
        while dies(whole):
            whole *= 2
            assert whole < 60
        assert differences_at_watermark(project) == 0
        for number in range(10 * KILLS):
            killed += dies(chance.random() * whole)
            if number % 5 == 4:
                project.run(next(hours))
                assert differences_at_watermark(project) == 0
            if killed == KILLS:
                break
        project.run(next(hours))
    assert killed == KILLS
    assert differences_at_watermark(project) == 0


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[embedded_valkey.RunningValkey]:
    with embedded_valkey.running(StateFolders(tmp_path / "server"), persistent=True) as server:
        yield server


def interrupted(monkeypatch, calls: int, what) -> None:
    """Does `what` when the store is about to get one more than so many calls of two rows."""
    all_calls = LuaPipeline._calls

    def counting(self, *args):
        for number, call in enumerate(all_calls(self, *args)):
            if number == calls:
                monkeypatch.undo()
                what()
            yield call

    monkeypatch.setattr(online, "ROWS_A_CALL", 2)
    monkeypatch.setattr(LuaPipeline, "_calls", counting)


def failed_and_run_again(project: ViewProject, error: type[SkewlessError], mend) -> None:
    with pytest.raises(error):
        project.run(4)
    assert project.watermark == at(0)
    assert project.state.runs("tests")[0].status == RunStatus.FAILED
    mend()
    project.run(4)
    assert differences_at_watermark(project) == 0


def filled(tmp_path: Path, state: StateDatabase, client: Redis) -> ViewProject:
    return filled_twice(ViewProject(tmp_path / "data", state, client))


def filled_twice(project: ViewProject) -> ViewProject:
    """100 rows that were materialized, and 500 that arrived since."""
    project.write(*arriving(0, 100, random.Random(8)))
    project.run(0)
    project.write(*arriving(3, 500, random.Random(9)))
    return project


def test_a_server_that_takes_no_writes_half_way(tmp_path: Path, state: StateDatabase, own_server, monkeypatch):
    with closing(connect(own_server.url)) as client:
        project = filled(tmp_path, state, client)
        interrupted(monkeypatch, 20, lambda: client.execute_command("REPLICAOF", "127.0.0.1", "1"))
        failed_and_run_again(project, StoreReadOnly, lambda: client.execute_command("REPLICAOF", "NO", "ONE"))


def test_a_server_that_is_full_half_way(tmp_path: Path, state: StateDatabase, own_server, monkeypatch):
    with closing(connect(own_server.url)) as client:
        project = filled(tmp_path, state, client)
        interrupted(monkeypatch, 20, lambda: client.config_set("maxmemory", "1mb"))
        failed_and_run_again(project, StoreFull, lambda: client.config_set("maxmemory", "0"))


def test_a_server_that_is_restarted_half_way(tmp_path: Path, state: StateDatabase, monkeypatch):
    """Even one that keeps nothing: the watermark means nothing to an emptied store."""
    folders = StateFolders(tmp_path / "server")
    with embedded_valkey.running(folders) as server, closing(connect(server.url)) as client:
        project = filled(tmp_path, state, client)
        interrupted(monkeypatch, 20, lambda: os.kill(server.pid, signal.SIGKILL))
        with pytest.raises(RedisUnreachable):
            project.run(4)
    with embedded_valkey.running(folders) as server, closing(connect(server.url)) as client:
        project.redis = client
        project.run(4)
        assert differences_at_watermark(project) == 0


def test_a_server_that_comes_back_emptied_without_a_word(project: ViewProject, monkeypatch):
    """The client connects anew by itself and every command succeeds: only the store can tell."""
    filled_twice(project)
    interrupted(monkeypatch, 20, project.redis.flushall)
    failed_and_run_again(project, RowsLost, lambda: None)


def test_a_server_that_comes_back_from_an_older_copy(project: ViewProject):
    """A snapshot, a lagging replica, an append-only file without its last seconds."""
    filled_twice(project)
    copy = {key: project.redis.dump(key) for key in project.redis.scan_iter()}
    project.run(4)
    project.redis.flushall()
    for key, content in copy.items():
        project.redis.restore(key, 0, content)
    project.write(*arriving(5, 50, random.Random(10)))
    assert differences_at_watermark(project) > 0
    project.run(6)
    assert differences_at_watermark(project) == 0


def test_a_push_into_an_emptied_store_does_not_vouch_for_the_view(project: ViewProject):
    filled_twice(project)
    store, pushed = SyncOnlineStore(project.redis, "tests"), row("N1", 3.5, 3.5)
    project.redis.flushall()
    store.prepare(SEEN)
    store.write(SEEN, [entity_key("tests", {"tail": ("String", "N1")})], [packed_row(pushed)])
    store.introduce(SEEN)
    project.write(pushed)
    project.run(4)
    assert differences_at_watermark(project) == 0


def test_an_earlier_end_after_the_store_was_emptied(project: ViewProject):
    filled_twice(project)
    project.run(4)
    project.redis.flushall()
    project.run(1)
    assert project.watermark == at(1), "later ones meant another store"
    assert differences_at_watermark(project) == 0
    project.run(4)
    assert differences_at_watermark(project) == 0


def test_a_state_database_that_goes_away_half_way(tmp_path: Path, redis: Redis, monkeypatch, postgres_url: str):
    name = make_url(postgres_url).database
    server = create_engine(make_url(postgres_url).set(database="postgres"), isolation_level="AUTOCOMMIT")

    def allow(connections: bool) -> None:
        with server.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {connections}'))
            ended = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
            connection.execute(ended, {"name": name})

    with closing(StateDatabase(postgres_url)) as state:
        project = filled(tmp_path, state, redis)
        interrupted(monkeypatch, 20, lambda: allow(connections=False))
        try:
            with pytest.raises(StateUnreachable, match="SKEWLESS_STATE_URL"):
                project.run(4)
            with pytest.raises(StateUnreachable, match="not currently accepting"):
                project.run(4)
        finally:
            allow(connections=True)
        assert project.watermark == at(0)
        project.run(4)
        assert differences_at_watermark(project) == 0
    server.dispose()
