"""What the store says it has: in one step, never more than it has, and gone with the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.errors import RemovalUnfinished, RowsLost
from skewless.contract.storage.catalog import catalog_key, reached_field, removal_field
from skewless.contract.storage.completeness import StoredView
from skewless.online.maintenance import view_removal
from skewless.online.store.completeness import marks
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.services.valkey_cluster import Cluster
from tests.tables.view_project import SEEN, ViewProject, at, differences_at_watermark, row

FAR = [at(0), at(1), at(1) + timedelta(microseconds=1), datetime.max.replace(tzinfo=at(0).tzinfo)]


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def held(client: Redis) -> StoredView:
    return SyncOnlineStore(client, "tests").stored_views([SEEN])["seen"]


def test_a_store_that_says_nothing(client: Redis):
    assert held(client) == StoredView(None, None)
    with pytest.raises(RowsLost, match=r"does not say up to when it is complete.*run the command again"):
        SyncOnlineStore(client, "tests").register(SEEN, at(0), at(1), refill=False)
    assert held(client) == StoredView(None, None)


@pytest.mark.parametrize(
    ("reached", "start", "end", "refill", "found"),
    [
        (None, None, at(1), True, at(1)),
        (at(2), None, at(1), True, at(1)),
        (at(2), None, at(1), False, at(2)),
        (at(1), at(1), at(2), False, at(2)),
        (at(2), at(1), at(3), False, at(3)),
        (at(3), at(1), at(2), False, at(3)),
    ],
)
def test_it_advances_and_goes_back_only_with_refill(client: Redis, reached, start, end, refill, found):
    if reached:
        SyncOnlineStore(client, "tests").register(SEEN, None, reached, refill=True)
    assert SyncOnlineStore(client, "tests").register(SEEN, start, end, refill=refill) == found
    assert held(client) == StoredView(SEEN, found)


@given(st.sampled_from(FAR), st.sampled_from(FAR))
def test_a_window_that_leaves_a_gap_is_refused(redis_server, reached: datetime, start: datetime):
    with Redis.from_url(redis_server.url) as client:
        SyncOnlineStore(client, "tests").register(SEEN, None, reached, refill=True)
        if start <= reached:
            assert SyncOnlineStore(client, "tests").register(SEEN, start, FAR[-1], refill=False) == FAR[-1]
        else:
            with pytest.raises(RowsLost, match="emptied or restored from an older copy"):
                SyncOnlineStore(client, "tests").register(SEEN, start, FAR[-1], refill=False)
            assert held(client).reached == reached


def test_a_view_that_is_being_removed_takes_no_note_and_a_removed_one_has_none(client: Redis):
    SyncOnlineStore(client, "tests").register(SEEN, None, at(1), refill=True)
    client.hset(catalog_key("tests"), removal_field("seen"), b"{}")
    with pytest.raises(RemovalUnfinished):
        SyncOnlineStore(client, "tests").register(SEEN, None, at(2), refill=True)
    client.hdel(catalog_key("tests"), removal_field("seen"))
    view_removal.remove(client, "tests", [SEEN])
    assert held(client) == StoredView(None, None)


def test_what_is_no_time_says_nothing(client: Redis):
    SyncOnlineStore(client, "tests").register(SEEN, None, at(1), refill=True)
    client.hset(catalog_key("tests"), reached_field("seen"), b"\xffsoon")
    assert held(client) == StoredView(SEEN, None)


@pytest.fixture
def clustered(redis_cluster: Cluster, tmp_path: Path) -> Iterator[ViewProject]:
    """A view's rows on three nodes, up to the first hour."""
    with (
        closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state,
        closing(redis_cluster.client()) as client,
    ):
        project = ViewProject(tmp_path / "data", state, client)
        project.write(*[row(f"N{number}", 0, 0) for number in range(100)])
        project.run(1)
        yield project


def test_a_node_that_was_emptied_is_noticed_by_the_next_run(clustered: ViewProject, redis_cluster: Cluster):
    """The catalog lies on another one."""
    catalogued = redis_cluster.primary_of(catalog_key("tests"))
    roles = redis_cluster.roles()
    other = next(one for one in redis_cluster.nodes if one is not catalogued and roles[one.port] == "master")
    assert held(clustered.redis) == StoredView(SEEN, at(1))
    other.ask("FLUSHALL")
    assert held(clustered.redis) == StoredView(SEEN, None)
    with pytest.raises(RowsLost, match="does not say up to when it is complete"):
        SyncOnlineStore(clustered.redis, "tests").register(SEEN, at(1), at(2), refill=False)
    clustered.run(2)
    assert differences_at_watermark(clustered) == 0
    assert held(clustered.redis) == StoredView(SEEN, at(2))


def test_a_node_that_came_back_from_an_older_copy_says_up_to_where_it_is_whole(clustered: ViewProject):
    mark = marks(clustered.redis, "tests")[77]
    copy = clustered.redis.dump(mark)
    clustered.run(2)
    assert held(clustered.redis) == StoredView(SEEN, at(2))
    clustered.redis.restore(mark, 0, copy, replace=True)
    assert held(clustered.redis) == StoredView(SEEN, at(1))
    with pytest.raises(RowsLost, match="up to"):
        SyncOnlineStore(clustered.redis, "tests").register(SEEN, at(2), at(3), refill=False)
    clustered.run(3)
    assert held(clustered.redis) == StoredView(SEEN, at(3))


def test_marks_move_with_their_slots(clustered: ViewProject, redis_cluster: Cluster):
    for mark in marks(clustered.redis, "tests")[100:102]:
        redis_cluster.move_slot(mark)
    assert held(clustered.redis) == StoredView(SEEN, at(1))
    clustered.run(2)
    assert held(clustered.redis) == StoredView(SEEN, at(2))
    assert differences_at_watermark(clustered) == 0


def test_marks_lie_in_all_slots_alike_and_one_server_has_none(clustered: ViewProject, client: Redis):
    slots = [clustered.redis.keyslot(mark) for mark in marks(clustered.redis, "tests")]
    spans = [slot // 64 for slot in slots]
    assert spans == list(range(256))
    assert marks(client, "tests") == []
