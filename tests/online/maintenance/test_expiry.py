"""Rows that are long out of their ttl go, by the watermark; values stay what they were, and newest-wins holds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.admission import AdmissionRule, FeatureStatus
from skewless.contract.errors import RowsLost
from skewless.contract.storage.catalog import catalog_key, view_field
from skewless.contract.storage.packed_row import RowReader
from skewless.contract.timestamps import to_micros
from skewless.online.maintenance import expiry
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.locks import LockBusy
from tests.oracles import entity_key, packed_row
from tests.tables.histories import source
from tests.tables.view_project import AGING, SEEN, ViewProject, aging, at, differences, expire, row

GONE_AFTER = 26
"""Hours: two of ttl and a day of grace."""


def test_rows_go_when_they_were_stale_for_a_day(project: ViewProject):
    project.write(row("N1", 0, 0), row("N2", 1, 1))
    project.run(GONE_AFTER)
    assert expire(project) == 0, "both ends count"
    project.run(GONE_AFTER + 0.5)
    assert expire(project) == 1
    assert [project.online_row(tail) is None for tail in ("N1", "N2")] == [True, False]
    assert differences(project) == 0


def test_a_store_that_was_filled_as_of_an_old_time_keeps_its_rows(project: ViewProject):
    project.write(row("N1", 0, 0))
    project.run(1)
    assert expire(project, end=at(10_000)) == 0, "the watermark stands for now"
    assert expire(project, end=at(0)) == 0


def test_a_view_without_ttl_keeps_all(tmp_path: Path, state: StateDatabase, redis_url: str):
    with Redis.from_url(redis_url) as client:
        project = ViewProject(tmp_path / "data", state, client)
        project.write(row("N1", 0, 0))
        project.run(10_000)
        assert expiry.run([SEEN], OnlineProject("tests", SyncOnlineStore(client, "tests"), state)) == {}


@pytest.mark.parametrize("ttl", [100, 0], ids=["raised", "taken away"])
def test_rows_that_went_by_a_shorter_ttl_come_back_with_a_longer_one(project: ViewProject, ttl: float):
    """N1 is fresh again by the new ttl, and a run that read new arrivals alone would leave it out."""
    project.write(row("N1", 0, 0), row("N2", 39, 39))
    project.run(40)
    assert expire(project) == 1
    project.view = aging(ttl)
    assert differences(project) == 1
    assert project.run(40).written == 1
    assert differences(project) == 0
    assert project.online_row("N1") == packed_row(row("N1", 0, 0))
    assert expire(project) == 0
    assert project.run(40) is None, "once is enough"


def test_a_shorter_ttl_needs_no_row_and_counts_once_the_store_has_it(project: ViewProject):
    """Until then models are served by the longer one, which the catalog has."""
    project.view = aging(100)
    project.write(row("N1", 0, 0))
    project.run(40)
    project.view = AGING
    assert expire(project) == 0
    assert differences(project) == 0
    assert project.run(41).read == 0
    assert expire(project) == 1
    assert differences(project) == 0


def test_a_run_that_was_planned_before_rows_went_by_a_shorter_ttl_is_refused(project: ViewProject):
    """Another process, with older definitions, shortened it in between."""
    project.view = aging(100)
    project.write(row("N1", 0, 0), row("N2", 41, 41))
    project.run(40)
    store = SyncOnlineStore(project.redis, "tests")
    views = [(project.view, source(project.data, project.view))]
    windows = plan_windows(project.state, "tests", views, end=at(41), stored=store.stored_views([project.view]))
    project.view = AGING
    project.run(40)
    assert expire(project) == 1
    with pytest.raises(RowsLost, match="run the command again"):
        materialize.run(windows, OnlineProject("tests", store, project.state), clock=lambda: at(99))
    project.view = aging(100)
    assert project.run(41).written == 2
    assert differences(project) == 0


def test_a_view_that_the_store_does_not_know_is_left_alone(project: ViewProject):
    project.write(row("N1", 0, 0))
    project.run(40)
    project.redis.hdel(catalog_key("tests"), view_field("seen"))
    assert expire(project) == 0
    project.redis.hset(catalog_key("tests"), view_field("seen"), b"of another version")
    assert expire(project) == 0
    assert project.online_row("N1") is not None


def test_nobody_gives_the_view_another_ttl_while_rows_go(project: ViewProject):
    """A run that writes by a longer one has its turn before the catalog is read, or after the rows are gone."""
    project.write(row("N1", 0, 0))
    project.run(40)
    with project.state.lock("tests", ["seen"], "materialize"), pytest.raises(LockBusy, match="feature view 'seen'"):
        expire(project, wait=timedelta(0))
    assert project.online_row("N1") is not None


def test_a_key_that_ends_like_ours_is_another_projects(project: ViewProject):
    project.write(row("N1", 0, 0))
    project.run(40)
    other = entity_key("other tests", {"tail": ("String", "N1")})
    assert other.endswith(b"tests")
    project.redis.hset(other, "seen", packed_row(row("N1", 0, 0)))
    assert expire(project) == 1
    assert project.redis.hexists(other, "seen")


def test_a_late_older_row_is_not_served_as_fresh_after_the_removal(project: ViewProject):
    """A tombstone is gone, and a row that it had hidden comes in late: it is out of its ttl too."""
    project.write(row("N1", 1, 1, None, gone=True))
    project.run(40)
    assert expire(project) == 1
    late = row("N1", 0, 41, 7)
    project.write(late)
    project.run(42)
    assert project.online_row() == packed_row(late)
    assert differences(project) == 0
    rows = RowReader("seen", AGING.fields, [AGING.fields]).read([project.online_row()])
    for hours in (41, 42, 100):
        (status,) = AGING.rule.status(rows.event, rows.created, rows.deleted, np.int64(to_micros(at(hours))))
        assert status in (FeatureStatus.STALE, FeatureStatus.NOT_FOUND)


def test_a_row_that_is_written_meanwhile_stays(project: ViewProject):
    project.write(row("N1", 0, 0))
    project.run(40)
    fresh = row("N1", 40, 40)
    discard = SyncOnlineStore.discard

    def meanwhile(*args):
        key = entity_key("tests", {"tail": ("String", "N1")})
        project.redis.hset(key, "seen", packed_row(fresh))
        return discard(*args)

    with patch.object(SyncOnlineStore, "discard", meanwhile):
        assert expire(project) == 0
    assert project.online_row() == packed_row(fresh)


def test_what_is_no_row_stays(project: ViewProject):
    project.write(row("N1", 0, 0))
    project.run(40)
    project.redis.hset(entity_key("tests", {"tail": ("String", "N1")}), "seen", b"noise")
    assert expire(project) == 0


@pytest.mark.parametrize(("ttl", "gone"), [(1, 1 + 86_400_000_000), (10**12, 2 * 10**12)])
def test_the_grace_is_the_ttl_and_a_day_at_least(ttl: int, gone: int):
    rule = AdmissionRule(ttl, "event_timestamp")
    ages = np.array([0, ttl, ttl + 1, gone, gone + 1])
    assert rule.removable(np.zeros(5, np.int64), ages).tolist() == [False] * 4 + [True]
    assert [bool(rule.removable(0, int(age))) for age in ages] == [False] * 4 + [True]
    assert not AdmissionRule(0, "event_timestamp").removable(0, 2**62)


TTLS = st.sampled_from([0, 1, 10**9, 86_400_000_000, 10**12])


@given(TTLS, TTLS, st.integers(-(10**13), 10**13), st.integers(0, 10**13))
def test_a_rule_that_does_not_outlast_another_lets_all_go_that_the_other_does(
    mine: int, theirs: int, event: int, age: int
):
    ours, other = (AdmissionRule(ttl, "event_timestamp") for ttl in (mine, theirs))
    if other.removable(event, event + age) and not ours.removable(event, event + age):
        assert ours.outlasts(other)
    assert ours.outlasts(other) == ((mine or 2**62) > (theirs or 2**62))
