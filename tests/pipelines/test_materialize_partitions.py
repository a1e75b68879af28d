"""Partitions in any order, and again: the online store ends as the slow definition says, whatever came first."""

from __future__ import annotations

import itertools
import json
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from pipelines import materialize
from pipelines.embedded import RunningServer
from pipelines.holding import Holding
from pipelines.materialize import Window, plan_partition
from pipelines.offline import Source
from pipelines.online import OnlineWriter
from pipelines.state import State
from serving.contract.instants import to_micros
from serving.contract.plan import View
from tests.oracles import Row, Rule, as_of, entity_key, packed_row
from tests.pipelines.test_materialize import SEEN, TRUE
from tests.pipelines.worlds import source, write

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
@settings(max_examples=60, deadline=None)
@given(st.lists(happened, max_size=14, unique_by=lambda told: told[:3]), orders)
def test_partitions_in_any_order_leave_the_newest_rows(
    redis_server: RunningServer, view: View, told: list[tuple[str, int, int, int, bool]], order: list[int]
) -> None:
    rows, project = [row(*one) for one in told], f"partitions{next(_project)}"
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(State(f"sqlite:///{folder}/state.db")) as state,
        Redis.from_url(redis_server.url) as redis,
    ):
        store, views = OnlineWriter(redis, project), [(view, source(Path(folder) / "data", view))]
        for place, day in enumerate(order):
            start, end = MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY
            if day not in order[:place]:
                write(
                    Path(folder) / "data", view, [one for one in rows if to_micros(start) <= one.event < to_micros(end)]
                )
            windows = plan_partition(state, project, views, start=start, end=end, stored=store.holdings([view]))
            materialize.run(windows, store, state, project, clock=lambda: MIDNIGHT)
        assert state.watermark(project, view.stored_as) == MIDNIGHT + DAYS * DAY
        for tail in ("N1", "N2"):
            held = redis.hget(entity_key(project, {"tail": ("String", tail)}), view.stored_as)
            newest = as_of(rows, (tail,), to_micros(MIDNIGHT + DAYS * DAY), Rule(view.ttl_us, view.known_by))
            assert held == (packed_row(newest) if newest else None)


def planned(state: State, start: datetime, end: datetime) -> tuple[datetime | None, datetime, bool]:
    nowhere = Source("seen", Path("/none"), "event_timestamp", None)
    stored = {"seen": Holding(SEEN, state.watermark("tests", "seen"))}
    (window,) = plan_partition(state, "tests", [(SEEN, nowhere)], start=start, end=end, stored=stored)
    return window.start, window.end, window.advance


def test_a_window_covers_the_partition_and_what_arrived_since_the_last(tmp_path: Path) -> None:
    before = timedelta(microseconds=1)
    with closing(State(f"sqlite:///{tmp_path / 'state.db'}")) as state:
        assert planned(state, MIDNIGHT, MIDNIGHT + DAY) == (None, MIDNIGHT + DAY, True)
        run = state.run_started("tests", "seen", "m", window_start=None, window_end=MIDNIGHT, started_at=MIDNIGHT)
        state.run_finished(run, materialize.Counts(), finished_at=MIDNIGHT, watermark=MIDNIGHT + DAY)
        assert planned(state, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY) == (MIDNIGHT + DAY - before, MIDNIGHT + 2 * DAY, True)
        assert planned(state, MIDNIGHT + 2 * DAY, MIDNIGHT + 3 * DAY) == (MIDNIGHT + DAY, MIDNIGHT + 3 * DAY, True)
        assert planned(state, MIDNIGHT - DAY, MIDNIGHT) == (MIDNIGHT - DAY - before, MIDNIGHT + DAY, True)


@pytest.mark.parametrize("start", [None, MIDNIGHT])
def test_a_window_survives_json(start: datetime | None) -> None:
    there = Source("seen", Path("/data/seen"), "event_timestamp", "created_timestamp", (("miles", "m"),))
    window = Window(SEEN, there, start, MIDNIGHT + DAY, advance=True)
    assert Window.parse(json.loads(json.dumps(window.plain()))) == window
