"""No failure of Redis or of the run itself loses a row: what was not acknowledged is done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.store import embedded_valkey, store
from skewless.online.store.connection import RedisUnreachable, connect
from skewless.online.store.lua_pipeline import LuaPipeline
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunStatus
from tests.checkout import ROOT
from tests.oracles import Row, entity_key, merged, packed_row
from tests.tables.histories import source, write
from tests.tables.view_project import SEEN, at, row


def many(rows: int) -> list[Row]:
    return [row(f"N{number % (rows - 100)}", 0, number / rows, number) for number in range(rows)]


def state_of(redis: Redis) -> dict[bytes, bytes]:
    keys = [key for key in redis.scan_iter(count=10_000) if not key.startswith(b"skewless:")]
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.hget(key, "seen")
    return dict(zip(keys, pipe.execute(), strict=True))


def oracle(rows: Sequence[Row]) -> dict[object, bytes]:
    return merged((entity_key("tests", {"tail": ("String", one.key[0])}), packed_row(one)) for one in rows)


def test_a_redis_that_dies_on_the_way_loses_nothing(tmp_path: Path, state: StateDatabase, monkeypatch):
    rows = many(1_000)
    write(tmp_path / "data", SEEN, rows)
    folders = StateFolders(tmp_path / "state")
    views = [(SEEN, source(tmp_path / "data", SEEN))]
    monkeypatch.setattr(store, "ROWS_A_CALL", 10)
    windows = plan_windows(state, "tests", views, end=at(9))
    all_calls, calls = LuaPipeline._calls, []

    def dying(self, *args):
        for call in all_calls(self, *args):
            calls.append(call)
            if len(calls) == 30:
                os.kill(server.pid, signal.SIGKILL)
            yield call

    with embedded_valkey.running(folders) as server, closing(connect(server.url)) as client:
        monkeypatch.setattr(LuaPipeline, "_calls", dying)
        with pytest.raises(RedisUnreachable, match=r"unix://.*valkey\.sock"):
            materialize.run(
                windows, OnlineProject("tests", SyncOnlineStore(client, "tests"), state), clock=lambda: at(99)
            )
        monkeypatch.undo()
    assert 30 <= len(calls) < 100
    assert state.watermark("tests", "seen") is None
    assert state.runs("tests")[0].status == RunStatus.FAILED
    with embedded_valkey.running(folders) as server, closing(connect(server.url)) as client:
        materialize.run(
            plan_windows(state, "tests", views, end=at(9)),
            OnlineProject("tests", SyncOnlineStore(client, "tests"), state),
            clock=lambda: at(99),
        )
        assert state_of(client) == oracle(rows)
    assert state.watermark("tests", "seen") == at(9)


def test_a_socket_that_nobody_listens_on(tmp_path: Path, state: StateDatabase):
    write(tmp_path, SEEN, [row("N1", 0, 0)])
    windows = plan_windows(state, "tests", [(SEEN, source(tmp_path, SEEN))], end=at(1))
    dead = SyncOnlineStore(Redis.from_url("redis://me:secret@127.0.0.1:1/2"), "tests")
    with pytest.raises(RedisUnreachable, match=r"redis://127.0.0.1:1/2") as refused:
        materialize.run(windows, OnlineProject("tests", dead, state), clock=lambda: at(99))
    assert "secret" not in str(refused.value)
    assert "secret" not in (state.runs("tests")[0].error or "")


SLOWLY = """
import sys
from datetime import datetime
from pathlib import Path
from redis import Redis
from skewless.online.materialization import materialize
from skewless.online.store import store as online
from skewless.online.store.online_project import OnlineProject
from skewless.state.database import StateDatabase
from tests.tables import view_project as here
from tests.tables.histories import source

online.ROWS_A_CALL = online._CALLS_A_TRIP = 2
state, url, data = StateDatabase(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
windows = materialize.plan_windows(state, "tests", [(here.SEEN, source(data, here.SEEN))], end=here.at(9))
store = online.SyncOnlineStore(Redis.from_url(url), "tests")
materialize.run(windows, OnlineProject("tests", store, state), clock=lambda: here.at(99))
"""


def test_a_run_that_is_killed_is_run_again(tmp_path: Path, redis: Redis, redis_url: str):
    rows = many(20_000)
    write(tmp_path / "data", SEEN, rows)
    state_url = f"sqlite:///{tmp_path / 'state.db'}"
    command = [sys.executable, "-c", SLOWLY, state_url, redis_url, str(tmp_path / "data")]
    process = subprocess.Popen(command, cwd=ROOT)
    last = time.monotonic() + 60
    while redis.dbsize() < 100:
        assert process.poll() is None
        assert time.monotonic() < last
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 100 <= redis.dbsize() < 19_900, "it was to die on the way"
    with closing(StateDatabase(state_url)) as state:
        assert state.watermark("tests", "seen") is None
        assert [run.status for run in state.runs("tests")] == [RunStatus.RUNNING]
        views = [(SEEN, source(tmp_path / "data", SEEN))]
        windows = plan_windows(state, "tests", views, end=at(9))
        done = materialize.run(
            windows, OnlineProject("tests", SyncOnlineStore(redis, "tests"), state), clock=lambda: at(99)
        )
        assert state_of(redis) == oracle(rows)
        assert 0 < done["seen"].written < len(rows)
        assert state.watermark("tests", "seen") == at(9)
