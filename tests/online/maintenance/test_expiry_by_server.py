"""A server that removes rows by itself: they vanish, nobody misses them, and every writer does as was chosen."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis, RedisCluster

from skewless.contract.plan import PlanView
from skewless.contract.storage.catalog import catalog_key, view_field
from skewless.contract.storage.expiry_mode import ExpiryMode
from skewless.contract.timestamps import to_micros
from skewless.erasure import redis_rows
from skewless.erasure.subject import ErasureSubject
from skewless.online.maintenance import expiry, verify
from skewless.online.push import push
from skewless.online.push.push import PushedRows
from skewless.online.store.connection import connect
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.oracles import entity_key, packed_row
from tests.services.waiting import until
from tests.tables import pushed_view
from tests.tables.histories import source
from tests.tables.view_project import AGING, SEEN, ViewProject, aging, at, differences, expire, row

SECOND = 1 / 3600
KEPT = 50
"""Hours for which AGING's rows stay: two of ttl and a day of grace, twice."""
MS_AN_HOUR = 3_600_000


def choose(project: ViewProject, by: ExpiryMode = ExpiryMode.SERVER) -> expiry.ExpiryChoice:
    return expiry.choose(
        by, [project.view], OnlineProject("tests", SyncOnlineStore(project.redis, "tests"), project.state)
    )


def left(redis: Any, tail: str = "N1", view: str = "seen") -> float | None:
    """For how many hours the server keeps a row; None: for ever. Raises: KeyError where it has none."""
    (found,) = redis.execute_command("HPTTL", key(tail), "FIELDS", 1, view)
    if found == -2:
        raise KeyError(tail)
    return None if found == -1 else found / MS_AN_HOUR


def key(tail: str) -> bytes:
    return entity_key("tests", {"tail": ("String", tail)})


def later(redis: Redis, hours: float) -> None:
    """What time does to the deadlines that a server has."""
    for one in redis.scan_iter(_type="HASH"):
        fields = redis.hkeys(one)
        for field, kept in zip(
            fields, redis.execute_command("HPTTL", one, "FIELDS", len(fields), *fields), strict=True
        ):
            if kept >= 0:
                redis.execute_command("HPEXPIRE", one, max(0, kept - round(hours * MS_AN_HOUR)), "FIELDS", 1, field)


def about(hours: float) -> object:
    return pytest.approx(hours, abs=60 * SECOND)


def test_materialized_rows_vanish_by_themselves_and_are_not_missed(project: ViewProject):
    choose(project)
    project.write(row("N1", 3 * SECOND, 0), row("N2", 49, 49), row("N3", -1, 0))
    assert project.run(KEPT).written == 3
    assert project.online_row("N3") is None, "long out of its ttl when it was written"
    assert project.online_row("N1") is not None
    assert left(project.redis, "N2") == about(49)
    until(lambda: project.online_row("N1") is None)
    assert project.online_row("N2") is not None
    assert differences(project) == 0
    assert project.run(KEPT + 1).read == 0
    assert project.run(KEPT + 2, full=True).written == 2, "they win again, and are gone again"
    assert [project.online_row(tail) is None for tail in ("N1", "N2", "N3")] == [True, False, True]


def test_a_store_that_is_filled_as_of_an_old_time_has_its_rows(project: ViewProject):
    choose(project)
    project.write(row("N1", 0, 0))
    project.run(1)
    assert left(project.redis) == about(KEPT - 1)


def test_a_run_up_to_the_far_future_is_as_of_its_clock(project: ViewProject):
    choose(project)
    project.write(row("N1", project.now, project.now))
    project.run(10_000)
    assert left(project.redis) == about(KEPT)


def test_pushed_rows_vanish_by_themselves(tmp_path: Path, redis_url: str):
    target = msgspec.structs.replace(
        pushed_view.TARGET, view=msgspec.structs.replace(pushed_view.CARDS, ttl_us=AGING.ttl_us)
    )
    now = to_micros(pushed_view.at(10))
    rows = [pushed_view.row(number, minutes=10 - KEPT * 60 + minutes) for number, minutes in enumerate([2 / 60, 60])]
    reader = PushedRows(pushed_view.PROJECT, target)
    with Redis.from_url(redis_url) as client:
        store = SyncOnlineStore(client, pushed_view.PROJECT)
        store.choose(ExpiryMode.SERVER)
        done = push.run(pushed_view.PROJECT, target, reader.batch([reader.parse(rows)], now), tmp_path, store, now)
        assert (done.won, client.dbsize()) == (2, 3)
        until(lambda: client.dbsize() == 2)
        (kept,) = [one for one in client.scan_iter() if one != catalog_key(pushed_view.PROJECT)]
        (lives,) = client.execute_command("HPTTL", kept, "FIELDS", 1, "cards")
        assert lives / MS_AN_HOUR == about(1)


def test_repaired_rows_have_deadlines(project: ViewProject):
    choose(project)
    project.write(row("N1", 0, 0))
    project.run(1)
    project.redis.hset(key("N1"), "seen", b"\0" * 30)
    views = [(AGING, source(project.data, AGING))]
    (found,) = verify.run(
        views, OnlineProject("tests", SyncOnlineStore(project.redis, "tests"), project.state), repair=True
    )
    assert found.repaired == 1
    assert left(project.redis) == about(KEPT - 1)


def test_a_longer_ttl_moves_deadlines_when_it_counts_and_none_takes_them_off(project: ViewProject):
    choose(project)
    project.write(row("N1", 0, 0))
    project.run(0)
    assert left(project.redis) == about(KEPT)
    project.view = aging(100)
    assert expire(project) == 0
    assert left(project.redis) == about(KEPT), "the store does not know of it"
    project.run(0)
    assert left(project.redis) == about(300)
    project.view = aging(0)
    project.run(0)
    assert left(project.redis) is None
    expire(project)
    assert left(project.redis) is None


def test_a_shorter_ttl_counts_from_the_next_walk_after_the_store_has_it(project: ViewProject):
    choose(project)
    project.view = aging(100)
    project.write(row("N1", 0, 0), row("N2", 1, 1))
    project.run(1)
    project.view = AGING
    store = SyncOnlineStore(project.redis, "tests")
    late = packed_row(row("N1", 0, 2))
    store.write(AGING, [key("N1")], [late], store.prepare(AGING).horizon(to_micros(at(1))))
    assert left(project.redis) == about(299), "models are served by the longer one"
    expire(project)
    assert left(project.redis) == about(299)
    project.run(2)
    expire(project)
    assert left(project.redis, "N2") == about(KEPT - 1)


def test_a_choice_holds_for_what_is_there_and_can_be_taken_back(project: ViewProject):
    project.write(*[row(f"N{number}", 0, number % 2) for number in range(200)], row("N999", -60, 0))
    project.run(1)
    assert project.online_row("N999") is not None
    chosen = choose(project)
    assert chosen.removed == {"seen": 1}
    assert re.search(r"of 100 100 had it, at \d+ bytes each; of (99|100) 0 have it now, at \d+;", chosen.warning)
    assert {left(project.redis, f"N{number}") for number in range(200)} != {None}
    assert differences(project) == 0
    assert choose(project).warning is None, "it was said"
    before = project.online_row()
    assert choose(project, ExpiryMode.SWEEP) == expiry.ExpiryChoice({"seen": 0}, None)
    assert {left(project.redis, f"N{number}") for number in range(200)} == {None}
    assert {project.redis.object("encoding", key(f"N{number}")) for number in range(200)} == {b"listpack"}
    assert project.online_row() == before
    project.write(row("N1", 1, 2))
    project.run(2)
    assert left(project.redis) is None
    assert differences(project) == 0


def test_the_deadlines_of_views_that_were_never_materialized_are_taken_off_too(project: ViewProject):
    choose(project)
    store = SyncOnlineStore(project.redis, "tests")
    store.write(AGING, [key("N1")], [packed_row(row("N1", 0, 0))], store.prepare(AGING).horizon(to_micros(at(0))))
    expire(project)
    assert left(project.redis) == about(KEPT)
    choose(project, ExpiryMode.SWEEP)
    assert left(project.redis) is None


def test_a_view_without_ttl_has_no_deadlines(tmp_path: Path, state: StateDatabase, redis_url: str):
    with Redis.from_url(redis_url) as client:
        project = ViewProject(tmp_path / "data", state, client)
        choose(project)
        project.write(row("N1", 0, 0))
        for _ in range(2):
            project.run(10_000, full=True)
            assert expiry.run([SEEN], OnlineProject("tests", SyncOnlineStore(client, "tests"), state)) == {}
            assert left(client) is None
        assert client.object("encoding", key("N1")) == b"listpack"


def test_an_emptied_server_knows_of_no_choice(project: ViewProject):
    choose(project)
    project.redis.flushall()
    project.write(row("N1", 0, 0))
    project.run(1)
    assert left(project.redis) is None


def test_a_subject_is_erased_with_its_deadlines(project: ViewProject):
    choose(project)
    project.write(row("N1", 0, 0), row("N2", 0, 0))
    project.run(1)
    assert redis_rows.entities(project.redis, "tests", ErasureSubject.parse(["tail=N1"]), delete=True) == 1
    assert project.online_row("N1") is None
    assert left(project.redis, "N2") == about(KEPT - 1)


@pytest.fixture
def anywhere(request: pytest.FixtureRequest) -> Iterator[Redis | RedisCluster]:
    found = request.getfixturevalue(request.param)
    with closing(connect(found if isinstance(found, str) else found.url)) as client:
        yield client


@pytest.mark.parametrize("anywhere", ["redis_cluster", "redis_sentinel"], indirect=True)
def test_every_kind_of_redis(tmp_path: Path, state: StateDatabase, anywhere: Any):
    project = ViewProject(tmp_path / "data", state, anywhere, AGING)
    project.write(*[row(f"N{number}", 0, 0) for number in range(20)])
    project.run(1)
    assert "of 20 20 had it" in choose(project).warning
    assert [left(anywhere, f"N{number}") for number in range(20)] == [about(KEPT - 1)] * 20
    project.write(row("N1", 1, 2), row("N2", KEPT - 10_000, 2))
    project.run(2)
    assert left(anywhere) == about(KEPT - 1)
    assert differences(project) == 0
    choose(project, ExpiryMode.SWEEP)
    assert [left(anywhere, f"N{number}") for number in range(20)] == [None] * 20


def _applied(project: ViewProject, chance: random.Random) -> None:
    project.view = aging(chance.choice([2, 2, 20, 100, 0]))


def _walked(project: ViewProject, _: random.Random) -> None:
    expire(project)


def _chosen(project: ViewProject, chance: random.Random) -> None:
    choose(project, chance.choice(list(ExpiryMode)))


STEPS: list[Callable[[ViewProject, random.Random], None]] = [_applied, _walked, _chosen]
STEP_HOURS = 8


def held_view(project: ViewProject) -> PlanView:
    return msgspec.json.decode(project.redis.hget(catalog_key("tests"), view_field("seen")), type=PlanView)


@pytest.mark.parametrize("seed", range(3))
def test_no_row_is_missed_through_a_life_of_changing_ttls_and_choices(project: ViewProject, seed: int):
    """Neither by what the store says that it holds, while another definition is applied, nor after that counts."""
    chance, project.now = random.Random(seed), 1_000
    for step in range(30):
        hour = step * STEP_HOURS
        new = [row(f"N{chance.randrange(40)}", hour - chance.randrange(60), hour, step) for _ in range(4)]
        project.write(*new)
        if chance.random() < 0.5:
            store, view = SyncOnlineStore(project.redis, "tests"), project.view
            horizon = store.prepare(view).horizon(to_micros(at(hour)))
            store.write(view, [key(one.key[0]) for one in new], [packed_row(one) for one in new], horizon)
        project.run(hour)
        assert differences(project) == 0
        later(project.redis, STEP_HOURS)
        for _ in range(2):
            chance.choice(STEPS)(project, chance)
            applied, project.view = project.view, held_view(project)
            assert differences(project) == 0
            project.view = applied
    assert project.redis.dbsize() > 1
