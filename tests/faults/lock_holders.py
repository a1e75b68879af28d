"""What other processes do while a test looks on: take a lock, materialize slowly, erase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.erasure import erase
from skewless.erasure.receipt import ErasureReceipt
from skewless.erasure.subject import ErasureSubject
from skewless.online.materialization import materialize
from skewless.online.store import store as online
from skewless.online.store.lua_pipeline import LuaPipeline
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.model_registry import ModelRegistry
from skewless.state.database import StateDatabase
from tests.services.waiting import until
from tests.tables.histories import source
from tests.tables.view_project import SEEN, at

SLOW_SECONDS = 0.02
CALLS_BEFORE_THE_GATE = 10


def hold(url: str, locked: str, seconds: float) -> None:
    """Lock the view `seen`, create the file `locked`, and keep the lock."""
    with StateDatabase(url).lock("tests", ["seen"], "materialize"):
        Path(locked).touch()
        time.sleep(seconds)


def slowly(url: str, redis_url: str, data: str, gate: str, end: float) -> None:
    """Materialize two rows a call, some time apart, and only a few calls before the file `gate` is there."""
    calls = LuaPipeline._calls

    def paced(self: LuaPipeline, *some: Any) -> Iterator[Any]:
        for number, call in enumerate(calls(self, *some)):
            if number >= CALLS_BEFORE_THE_GATE:
                until(Path(gate).exists)
            time.sleep(SLOW_SECONDS)
            yield call

    LuaPipeline._calls = paced
    online.ROWS_A_CALL = 2
    state, store, views = (
        StateDatabase(url),
        SyncOnlineStore(Redis.from_url(redis_url), "tests"),
        [(SEEN, source(Path(data), SEEN))],
    )
    windows = materialize.plan_windows(state, "tests", views, end=at(end), stored=store.stored_views([SEEN]))
    materialize.run(windows, OnlineProject("tests", store, state), clock=lambda: at(end + 1))


def erased(url: str, redis_url: str, data: str, tail: str, wait: timedelta) -> ErasureReceipt:
    root, client = Path(data).parent, Redis.from_url(redis_url)
    views = ((SEEN, source(Path(data), SEEN)),)
    registry = ModelRegistry(root / "models", root / "models")
    places = erase.ErasurePlaces(StateFolders(root), Path(data), "tests", views, client, registry, StateDatabase(url))
    receipt, _ = erase.run(
        ErasureSubject.parse([f"tail={tail}"]), places, lambda: at(99), wait=wait, settle=timedelta(0)
    )
    return receipt


def act(what: str, *given: Any) -> None:
    """`hold` or `slowly`, by name: one process that has imported everything forks both."""
    {"hold": hold, "slowly": slowly}[what](*given)
