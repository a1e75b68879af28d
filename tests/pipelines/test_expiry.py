"""Rows that are long out of their ttl go, by the watermark; values stay what they were, and newest-wins holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
from redis import Redis

from pipelines import expiry, verify
from pipelines.online import OnlineWriter
from pipelines.state import State
from serving.contract.freshness import Rule, Status
from serving.contract.instants import to_micros
from serving.contract.row import RowReader
from tests.oracles import entity_key, packed_row
from tests.pipelines.test_materialize import HOUR, SEEN, Project, at, row
from tests.pipelines.worlds import source

AGING = msgspec.structs.replace(SEEN, ttl_us=2 * HOUR // timedelta(microseconds=1))
GONE_AFTER = 26
"""Hours: two of ttl and a day of grace."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(f"sqlite:///{tmp_path / 'state.db'}")) as state:
        yield state


@pytest.fixture
def project(tmp_path: Path, state: State, redis_url: str) -> Iterator[Project]:
    with Redis.from_url(redis_url) as client:
        yield Project(tmp_path / "data", state, client, AGING)


def expire(project: Project, **options) -> int:
    store = OnlineWriter(project.redis, "tests")
    return expiry.run([project.view], store, project.state, "tests", **options).get("seen", 0)


def differences(project: Project) -> int:
    views = [(project.view, source(project.data, project.view))]
    (found,) = verify.run(views, OnlineWriter(project.redis, "tests"), project.state, "tests")
    return found.differences


def test_rows_go_when_they_were_stale_for_a_day(project: Project):
    project.write(row("N1", 0, 0), row("N2", 1, 1))
    project.run(GONE_AFTER)
    assert expire(project) == 0, "both ends count"
    project.run(GONE_AFTER + 0.5)
    assert expire(project) == 1
    assert [project.held(tail) is None for tail in ("N1", "N2")] == [True, False]
    assert differences(project) == 0


def test_a_store_that_was_filled_as_of_an_old_time_keeps_its_rows(project: Project):
    project.write(row("N1", 0, 0))
    project.run(1)
    assert expire(project, end=at(10_000)) == 0, "the watermark stands for now"
    assert expire(project, end=at(0)) == 0


def test_a_view_without_ttl_keeps_all(tmp_path: Path, state: State, redis_url: str):
    with Redis.from_url(redis_url) as client:
        project = Project(tmp_path / "data", state, client)
        project.write(row("N1", 0, 0))
        project.run(10_000)
        assert expiry.run([SEEN], OnlineWriter(client, "tests"), state, "tests") == {}


def test_a_late_older_row_is_not_served_as_fresh_after_the_removal(project: Project):
    """A tombstone is gone, and a row that it had hidden comes in late: it is out of its ttl too."""
    project.write(row("N1", 1, 1, None, gone=True))
    project.run(40)
    assert expire(project) == 1
    late = row("N1", 0, 41, 7)
    project.write(late)
    project.run(42)
    assert project.held() == packed_row(late)
    rows = RowReader("seen", AGING.fields, [AGING.fields]).read([project.held()])
    for hours in (41, 42, 100):
        (status,) = AGING.rule.status(rows.event, rows.created, rows.deleted, np.int64(to_micros(at(hours))))
        assert status in (Status.STALE, Status.NOT_FOUND)


def test_a_row_that_is_written_meanwhile_stays(project: Project):
    project.write(row("N1", 0, 0))
    project.run(40)
    fresh = row("N1", 40, 40)
    discard = OnlineWriter.discard

    def meanwhile(*args):
        key = entity_key("tests", {"tail": ("String", "N1")})
        project.redis.hset(key, "seen", packed_row(fresh))
        return discard(*args)

    with patch.object(OnlineWriter, "discard", meanwhile):
        assert expire(project) == 0
    assert project.held() == packed_row(fresh)


def test_what_is_no_row_stays(project: Project):
    project.write(row("N1", 0, 0))
    project.run(40)
    project.redis.hset(entity_key("tests", {"tail": ("String", "N1")}), "seen", b"noise")
    assert expire(project) == 0


@pytest.mark.parametrize(("ttl", "gone"), [(1, 1 + 86_400_000_000), (10**12, 2 * 10**12)])
def test_the_grace_is_the_ttl_and_a_day_at_least(ttl: int, gone: int):
    rule = Rule(ttl, "event_timestamp")
    ages = np.array([0, ttl, ttl + 1, gone, gone + 1])
    assert rule.removable(np.zeros(5, np.int64), ages).tolist() == [False] * 4 + [True]
    assert [bool(rule.removable(0, int(age))) for age in ages] == [False] * 4 + [True]
    assert not Rule(0, "event_timestamp").removable(0, 2**62)
