"""A project of one feature view, `seen`: its table, its watermark and its rows online."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from redis import Redis

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.timestamps import to_micros
from skewless.online.maintenance import expiry, verify
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import log_warning, plan_windows
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts
from tests.oracles import Row, entity_key
from tests.tables.histories import push, source, write

T0 = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEEN = PlanView(
    "seen", "seen", (JoinKey("tail", "tail", "String"),), (Field("miles", "Int64"),), 0, "created_timestamp", "gone"
)
TRUE = msgspec.structs.replace(SEEN, name="true", stored_as="true", known_by="event_timestamp")


def at(hours: float) -> datetime:
    return T0 + hours * HOUR


def row(tail: str, event: float, created: float, miles: int | None = 1, *, gone: bool = False) -> Row:
    return Row((tail,), to_micros(at(event)), to_micros(at(created)), gone, (miles,), SEEN.fields)


class ViewProject:
    """One view's table, watermark and rows; it is `now` hours after T0."""

    def __init__(self, data: Path, state: StateDatabase, redis: Redis, view: PlanView = SEEN) -> None:
        self.data, self.state, self.redis, self.view = data, state, redis, view
        self.now = 99.0

    def write(self, *rows: Row) -> None:
        write(self.data, self.view, rows)

    def push(self, *rows: Row) -> None:
        push(self.data, self.view, rows, max(row.created for row in rows))

    def run(self, end: float, warn=log_warning, **options) -> RunCounts | None:
        views = [(self.view, source(self.data, self.view))]
        store = SyncOnlineStore(self.redis, "tests")
        stored = store.stored_views([self.view])
        windows = plan_windows(self.state, "tests", views, end=at(end), stored=stored, **options)
        project = OnlineProject("tests", store, self.state)
        return materialize.run(windows, project, clock=lambda: at(self.now), warn=warn).get(self.view.name)

    def online_row(self, tail: str = "N1") -> bytes | None:
        return self.redis.hget(entity_key("tests", {"tail": ("String", tail)}), self.view.name)

    @property
    def watermark(self) -> datetime | None:
        return self.state.watermark("tests", self.view.name)


def aging(hours: float) -> PlanView:
    return msgspec.structs.replace(SEEN, ttl_us=int(hours * HOUR / timedelta(microseconds=1)))


AGING = aging(2)


def differences(project: ViewProject) -> int:
    views = [(project.view, source(project.data, project.view))]
    (found,) = verify.run(views, OnlineProject("tests", SyncOnlineStore(project.redis, "tests"), project.state))
    return found.differences


def expire(project: ViewProject, **options) -> int:
    store = SyncOnlineStore(project.redis, "tests")
    return expiry.run([project.view], OnlineProject("tests", store, project.state), **options).get("seen", 0)


def differences_at_watermark(project: ViewProject) -> int:
    """Of a project that was materialized, to no later time than its watermark."""
    views = [(project.view, source(project.data, project.view))]
    (found,) = verify.run(views, OnlineProject("tests", SyncOnlineStore(project.redis, "tests"), project.state))
    assert found.watermark is not None
    assert found.ahead == 0
    return found.differences
