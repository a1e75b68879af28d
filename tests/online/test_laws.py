"""Laws 2 and 4 on real parts: Parquet, the state database, a real Valkey.

What is read online at t, after everything known by t was materialized, is the join at t, bit for bit: in whatever
windows it was done, however often, and although rows kept arriving in between.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.plan import Plan, PlanView
from skewless.contract.storage.lookup import OnlineRead
from skewless.contract.timestamps import from_micros
from skewless.offline.join import point_in_time
from skewless.offline.join.point_in_time import join
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.store import store as online
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests import oracles
from tests.oracles import Row, Spine, merged, packed_row, rule_of
from tests.strategies import MOMENTS, OLD_MOMENTS, histories, plans, spines
from tests.tables.histories import expected, push, source, sources, spine_table, stored, told, write
from tests.tables.loose_columns import loosen

_project = itertools.count()
History = dict[str, list[Row]]


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Iterator[StateDatabase]:
    state = StateDatabase(f"sqlite:///{tmp_path_factory.mktemp('state') / 'state.db'}")
    yield state
    state.close()


@st.composite
def worlds(draw):
    plan = msgspec.structs.replace(draw(plans()), project=f"p{next(_project)}-")
    moments = draw(st.sampled_from([MOMENTS, OLD_MOMENTS]))
    past = draw(histories(plan, moments))
    at = draw(moments) + draw(st.sampled_from([-1, 0, 0, 1]))
    spine = [Spine(row.keys, at) for row in draw(spines(plan, moments))]
    return plan, past, at, spine


def known_on_disk(past: History, until: int) -> History:
    return {name: [row for row in rows if row.created <= until] for name, rows in past.items()}


def run(state: StateDatabase, store: SyncOnlineStore, data: Path, plan: Plan, end: int, **options) -> None:
    views = [(view, source(data, view)) for view in stored(plan)]
    windows = plan_windows(state, plan.project, views, end=from_micros(end), **options)
    materialize.run(windows, OnlineProject(plan.project, store, state), clock=lambda: from_micros(end))


def read(store: SyncOnlineStore, plan: Plan, spine: Sequence[Spine], at: int) -> dict[str, AdmittedRows]:
    reader = OnlineRead(plan, {view.name: view.fields for view in plan.views})
    columns = {key.name: [row.keys[key.name] for row in spine] for key in plan.join_keys}
    batch = reader.batch(columns, len(spine))
    return reader.decode(batch, store.read(batch.lookups), at)


STEPS = st.lists(st.integers(-4, 7), max_size=3)
AGAIN = st.sampled_from(["no", "same", "full", "overlap"])


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(world=worlds(), steps=STEPS, arriving=st.booleans(), again=AGAIN)
def test_online_is_offline_bit_for_bit(redis_server, state, world, steps, arriving, again):
    hold(redis_server, state, world, steps, arriving, again, None)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(world=worlds(), steps=STEPS, arriving=st.booleans(), again=AGAIN, random=st.randoms())
def test_so_it_is_where_the_tables_have_the_same_values_in_other_types(
    redis_server, state, world, steps, arriving, again, random
):
    hold(redis_server, state, world, steps, arriving, again, random)


def hold(redis_server, state, world, steps, arriving, again, random: Random | None) -> None:
    """Law 2 in one world; with `random` in tables whose columns are of other types."""
    plan, past, at, spine = world
    begin = min([row.event for rows in past.values() for row in rows] or [at])
    ends = [*sorted(min(begin + step * 250_001, at) for step in steps), at]
    client = Redis.from_url(redis_server.url)
    store = SyncOnlineStore(client, plan.project)
    fields = {view.name: view.fields for view in plan.views}
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(online, "ROWS_A_CALL", 2),
        patch.object(point_in_time, "wanted_features", lambda _: fields),
    ):
        data, there, loosened = Path(folder), {name: [] for name in past}, set()
        for end in ends:
            present = known_on_disk(past, end) if arriving else past
            for view in stored(plan):
                write(data, view, [r for r in present[view.name] if r not in there[view.name]])
                if random is not None:
                    loosen(data / view.stored_as, random, loosened)
            there = present
            run(state, store, data, plan, end)
        if again == "overlap":
            run(state, store, data, plan, at, start=from_micros(begin))
        elif again != "no":
            run(state, store, data, plan, at, full=again == "full")
        found = read(store, plan, spine, at)
        offline = join(plan, sources(data, plan), spine_table(plan, spine))
    client.close()
    joined = oracles.join(spine, there, plan)
    for view in plan.views:
        assert told(found[view.name], view.fields) == told(offline[view.name], view.fields)
        assert told(found[view.name], view.fields) == expected(joined, view, view.fields)
        for row in joined:
            event(row[view.name].status)


WAYS = st.sampled_from(
    [(w, a) for w in ("push", "write") for a in ("push", "write", "no more") if (w, a) != ("write", "no more")]
)
"""How rows come to a table before and after. What was only written lacks a column by mistake, as it seems."""


def add(data: Path, view: PlanView, rows: Sequence[Row], way: str) -> None:
    if way == "push":
        push(data, view, rows, 1)
    elif way == "write":
        write(data, view, rows, by_day=False, empty=True)


def before(rows: Sequence[Row], kept: Sequence[int]) -> list[Row]:
    """Rows as they were when their view had only the features at these places."""
    return [
        Row(r.key, r.event, r.created, r.deleted, tuple(r.values[n] for n in kept), tuple(r.schema[n] for n in kept))
        for r in rows
    ]


def since(rows: Sequence[Row], kept: Sequence[int]) -> list[Row]:
    """The same rows after the view gained the others: without values for these."""
    return [replace(r, values=tuple(v if n in kept else None for n, v in enumerate(r.values))) for r in rows]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(world=worlds(), ways=WAYS, materialized=st.booleans(), random=st.randoms())
def test_rows_of_before_a_feature_existed_have_no_value_for_it(redis_server, state, world, ways, materialized, random):
    """Rows are pushed or written, then their view gains features, then more rows are pushed or written, or none."""
    way_before, way_after = ways
    plan, past, at, spine = world
    client = Redis.from_url(redis_server.url)
    store = SyncOnlineStore(client, plan.project)
    kept = {
        v.stored_as: sorted(random.sample(range(len(v.fields)), random.randint(1, len(v.fields)))) for v in plan.views
    }
    narrow = [msgspec.structs.replace(v, fields=tuple(v.fields[n] for n in kept[v.stored_as])) for v in stored(plan)]
    fields = {view.name: view.fields for view in plan.views}
    there: History = {}
    later: History = {}
    with tempfile.TemporaryDirectory() as folder, patch.object(point_in_time, "wanted_features", lambda _: fields):
        data = Path(folder)
        for view in narrow:
            rows, places = past[view.stored_as], kept[view.stored_as]
            first = random.randint(0, len(rows))
            later[view.stored_as] = [] if way_after == "no more" else rows[first:]
            there[view.stored_as] = [*since(rows[:first], places), *later[view.stored_as]]
            add(data, view, before(rows[:first], places), way_before)
        if materialized:
            windows = plan_windows(state, plan.project, [(v, source(data, v)) for v in narrow], end=from_micros(at))
            materialize.run(windows, OnlineProject(plan.project, store, state), clock=lambda: from_micros(at))
        for view in stored(plan):
            add(data, view, later[view.stored_as], way_after)
        run(state, store, data, plan, at, stored=store.stored_views(stored(plan)))
        found = read(store, plan, spine, at)
        offline = join(plan, sources(data, plan), spine_table(plan, spine))
    client.close()
    joined = oracles.join(spine, there, plan)
    for view in plan.views:
        assert told(found[view.name], view.fields) == told(offline[view.name], view.fields)
        assert told(found[view.name], view.fields) == expected(joined, view, view.fields)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(world=worlds(), order=st.randoms())
def test_writers_in_any_order_leave_the_newest_row(redis_server, state, world, order):
    """Windows of many runs, taken in any order as by workers that know nothing of each other."""
    plan, past, at, _ = world
    moments = sorted({row.event for rows in past.values() for row in rows} | {at})
    bounds = [None, *(from_micros(one) for one in moments)]
    with Redis.from_url(redis_server.url) as client, tempfile.TemporaryDirectory() as folder:
        store = SyncOnlineStore(client, plan.project)
        windows = []
        for view in stored(plan):
            write(Path(folder), view, past[view.name])
            for start, end in itertools.pairwise(bounds):
                windows.append(materialize.ArrivalWindow(view, source(Path(folder), view), start, end, advance=False))
        order.shuffle(windows)
        materialize.run(windows, OnlineProject(plan.project, store, state), clock=lambda: bounds[-1])
        hashes = client.scan_iter(match=f"*{plan.project}", count=10_000)
        keys = [key for key in hashes if not key.startswith(b"skewless:")]
        written = {(key, name): value for key in keys for name, value in client.hgetall(key).items()}
    views = {view.stored_as: view for view in stored(plan)}
    arrived = [
        (place(plan, views[name], row), packed_row(row))
        for name, rows in past.items()
        for row in rows
        if rule_of(views[name]).admits(row, moments[-1])
    ]
    assert written == merged(arrived)


def place(plan: Plan, view, row: Row) -> tuple[bytes, bytes]:
    keys = {k.key: (k.dtype, value) for k, value in zip(view.join_keys, row.key, strict=True)}
    return oracles.entity_key(plan.project, keys or {"__dummy_id": ("String", "")}), view.stored_as.encode()
