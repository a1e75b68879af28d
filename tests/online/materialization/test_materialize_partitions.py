"""Partitions in any order, and again: the online store ends as the slow definition says, whatever came first."""

from __future__ import annotations

import itertools
import json
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.plan import PlanView
from skewless.contract.storage.completeness import StoredView
from skewless.contract.timestamps import to_micros
from skewless.offline.tables.source import TableSource
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import ArrivalWindow, plan_partition
from skewless.online.store.embedded_valkey import RunningValkey
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.oracles import Row, Rule, as_of, entity_key, packed_row
from tests.tables.histories import source, write
from tests.tables.view_project import SEEN, TRUE

MIDNIGHT = datetime(2013, 10, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DAYS = 4
_project = itertools.count()

happened = st.tuples(
    st.sampled_from(["N1", "N2"]), st.integers(0, DAYS * 4 - 1), st.integers(0, 12), st.integers(0, 9), st.booleans()
)
"""Tail number, event in quarters of a day, delay in quarters until it is known, miles, and whether it is a tombstone."""

orders = st.permutations(range(DAYS)).flatmap(
    lambda days: st.lists(st.sampled_from(range(DAYS)), max_size=2).map(lambda again: [*days, *again])
)


def row(tail: str, quarter: int, delay: int, miles: int, gone: bool) -> Row:
    event = MIDNIGHT + quarter * 6 * HOUR
    return Row((tail,), to_micros(event), to_micros(event + delay * 6 * HOUR), gone, (miles,), SEEN.fields)


@pytest.mark.parametrize("view", [SEEN, TRUE], ids=lambda view: view.name)
@settings(max_examples=60)
@given(st.lists(happened, max_size=14, unique_by=lambda told: told[:3]), orders)
def test_partitions_in_any_order_leave_the_newest_rows(
    redis_server: RunningValkey, view: PlanView, told: list[tuple[str, int, int, int, bool]], order: list[int]
) -> None:
    rows, project = [row(*one) for one in told], f"partitions{next(_project)}"
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(StateDatabase(f"sqlite:///{folder}/state.db")) as state,
        Redis.from_url(redis_server.url) as redis,
    ):
        store, views = SyncOnlineStore(redis, project), [(view, source(Path(folder) / "data", view))]
        for place, day in enumerate(order):
            start, end = MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY
            if day not in order[:place]:
                write(
                    Path(folder) / "data", view, [one for one in rows if to_micros(start) <= one.event < to_micros(end)]
                )
            windows = plan_partition(state, project, views, start=start, end=end, stored=store.stored_views([view]))
            materialize.run(windows, OnlineProject(project, store, state), clock=lambda: MIDNIGHT + 9 * DAY)
        assert state.watermark(project, view.stored_as) == MIDNIGHT + DAYS * DAY
        for tail in ("N1", "N2"):
            held = redis.hget(entity_key(project, {"tail": ("String", tail)}), view.stored_as)
            newest = as_of(rows, (tail,), to_micros(MIDNIGHT + DAYS * DAY), Rule(view.ttl_us, view.known_by))
            assert held == (packed_row(newest) if newest else None)


def planned(state: StateDatabase, start: datetime, end: datetime) -> tuple[datetime | None, datetime, bool]:
    nowhere = TableSource("seen", Path("/none"), "event_timestamp", None)
    stored = {"seen": StoredView(SEEN, state.watermark("tests", "seen"))}
    (window,) = plan_partition(state, "tests", [(SEEN, nowhere)], start=start, end=end, stored=stored)
    return window.start, window.end, window.advance


def test_a_window_covers_the_partition_and_what_arrived_since_the_last(tmp_path: Path) -> None:
    before = timedelta(microseconds=1)
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state:
        assert planned(state, MIDNIGHT, MIDNIGHT + DAY) == (None, MIDNIGHT + DAY, True)
        run = state.run_started("tests", "seen", "m", window_start=None, window_end=MIDNIGHT, started_at=MIDNIGHT)
        state.run_finished(run, materialize.RunCounts(), finished_at=MIDNIGHT, watermark=MIDNIGHT + DAY)
        assert planned(state, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY) == (MIDNIGHT + DAY - before, MIDNIGHT + 2 * DAY, True)
        assert planned(state, MIDNIGHT + 2 * DAY, MIDNIGHT + 3 * DAY) == (MIDNIGHT + DAY, MIDNIGHT + 3 * DAY, True)
        assert planned(state, MIDNIGHT - DAY, MIDNIGHT) == (MIDNIGHT - DAY - before, MIDNIGHT + DAY, True)


@pytest.mark.parametrize("start", [None, MIDNIGHT])
def test_a_window_survives_json(start: datetime | None) -> None:
    there = TableSource("seen", Path("/data/seen"), "event_timestamp", "created_timestamp", (("miles", "m"),))
    partition = (start, MIDNIGHT + DAY) if start else None
    window = ArrivalWindow(SEEN, there, start, MIDNIGHT + DAY, advance=True, partition=partition)
    assert ArrivalWindow.parse(json.loads(json.dumps(window.to_builtins()))) == window


class Days:
    """Partitions of a view, each planned when it is made, whenever it is run."""

    def __init__(self, data: Path, state: StateDatabase, redis: Redis) -> None:
        self.data, self.state, self.redis = data, state, redis
        self.store, self.views = SyncOnlineStore(redis, "tests"), [(SEEN, source(data, SEEN))]

    def plan(self, day: int) -> list[ArrivalWindow]:
        start, stored = MIDNIGHT + day * DAY, self.store.stored_views([SEEN])
        return plan_partition(self.state, "tests", self.views, start=start, end=start + DAY, stored=stored)

    def run(self, windows: list[ArrivalWindow], check: materialize.Check = materialize.unchecked) -> None:
        clock = MIDNIGHT + 9 * DAY
        materialize.run(windows, OnlineProject("tests", self.store, self.state), clock=lambda: clock, check=check)

    def held(self, tail: str) -> bytes | None:
        return self.redis.hget(entity_key("tests", {"tail": ("String", tail)}), "seen")


@pytest.fixture
def days(tmp_path: Path, redis_url: str) -> Iterator[Days]:
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state, Redis.from_url(redis_url) as redis:
        yield Days(tmp_path / "data", state, redis)


def late(tail: str) -> Row:
    """True on the first day, known on the third."""
    return row(tail, 1, 8, 7, False)


def test_two_partitions_at_once_leave_out_what_neither_planned_for(days: Days) -> None:
    """Both are planned from one watermark. While the later one reads, the earlier one is ingested, with a row that was
    known in the later one's time: only a window that goes by the watermark of its turn has it.
    """
    write(days.data, SEEN, [row("N1", 5, 0, 1, False)])
    days.run(days.plan(1))
    write(days.data, SEEN, [row("N2", 9, 0, 2, False)])
    third, first = days.plan(2), days.plan(0)
    reads, ingested = threading.Event(), threading.Event()

    def pausing(_: ArrivalWindow, rows: Iterable[object]) -> None:
        assert len(list(rows)) == 1
        reads.set()
        assert ingested.wait(30)

    runs = [threading.Thread(target=days.run, args=(third, pausing)), threading.Thread(target=days.run, args=(first,))]
    runs[0].start()
    assert reads.wait(30)
    runs[1].start()
    write(days.data, SEEN, [late("N3")])
    ingested.set()
    for one in runs:
        one.join(60)
    assert days.state.watermark("tests", "seen") == MIDNIGHT + 3 * DAY
    assert days.held("N2")
    assert days.held("N3") == packed_row(late("N3"))


def test_a_partition_that_is_run_long_after_it_was_planned(days: Days) -> None:
    """A task that failed, and is cleared when later partitions are done."""
    write(days.data, SEEN, [row("N1", 5, 0, 1, False)])
    days.run(days.plan(1))
    planned = days.plan(0)
    days.run(days.plan(2))
    write(days.data, SEEN, [late("N3")])
    days.run(planned)
    assert days.held("N3") == packed_row(late("N3"))


def test_a_partition_that_is_run_after_the_store_was_emptied(days: Days) -> None:
    write(days.data, SEEN, [row("N1", 5, 0, 1, False)])
    days.run(days.plan(1))
    planned = days.plan(2)
    days.redis.flushall()
    days.run(planned)
    assert days.held("N1") == packed_row(row("N1", 5, 0, 1, False))
