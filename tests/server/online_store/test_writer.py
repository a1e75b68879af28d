"""Pushed rows reach every kind of Redis, ride out what changes there, and reach no view that is being removed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from skewless.contract.plan import PlanView
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.catalog import catalog_key, removal_field
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode
from skewless.online.store import embedded_valkey
from skewless.online.store.connection import connect
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.writer import OnlineStoreWriter
from tests.services.waiting import until
from tests.tables.arrays import packed
from tests.tables.delay_rows import VIEW, key, row

(ONE,) = packed(VIEW.fields, [row(1.0, 1)])
DAY, HOUR = 86_400_000_000, 3_600_000_000
NOW = 3 * DAY
AGING = msgspec.structs.replace(VIEW, ttl_us=DAY)


class Writer:
    """A store that is kept, as a server keeps it."""

    def __init__(self, store: OnlineStoreWriter, loop: asyncio.Runner) -> None:
        self._store, self._loop = store, loop

    def push(self, entities: Sequence[int], view: PlanView = VIEW, now: int = NOW) -> None:
        self._loop.run(self._store.write(view, [(key(entity), ONE) for entity in entities], now))

    def arrives(self, entities: Sequence[int]) -> bool:
        try:
            self.push(entities)
        except StoreUnavailable:
            return False
        return True


@contextmanager
def writer(url: str) -> Iterator[Writer]:
    store = OnlineStoreWriter(url, "tests", timeout_s=5)
    with asyncio.Runner() as loop:
        try:
            yield Writer(store, loop)
        finally:
            loop.run(store.close())


def test_no_address_of_a_redis():
    with pytest.raises(StoreUnavailable, match="is no address"):
        OnlineStoreWriter("http://127.0.0.1", "tests", timeout_s=1)


@pytest.mark.parametrize("kind", ["redis_url", "redis_cluster", "redis_sentinel"])
def test_rows_have_deadlines_where_the_server_is_to_remove_them(request, kind):
    """A day of ttl and a day of grace, twice."""
    found = request.getfixturevalue(kind)
    url = found if isinstance(found, str) else found.url
    with closing(connect(url)) as client, writer(url) as store:
        client.hset(catalog_key("tests"), EXPIRY, ExpiryMode.SERVER.encode())
        store.push(range(20), AGING, NOW - HOUR)
        lives = [client.execute_command("HPTTL", key(entity), "FIELDS", 1, "delays")[0] for entity in range(20)]
        assert lives == [pytest.approx(HOUR // 1000, abs=60_000)] * 20
        store.push(range(10), AGING, NOW)
        assert [client.exists(key(entity)) for entity in range(20)] == [0] * 10 + [1] * 10


@pytest.mark.parametrize("kind", ["redis_url", "redis_cluster", "redis_sentinel"])
def test_rows_arrive(request, kind):
    found = request.getfixturevalue(kind)
    url = found if isinstance(found, str) else found.url
    with writer(url) as pushing:
        pushing.push(range(1_200))
    with closing(connect(url)) as client:
        assert all(client.hget(key(entity), "delays") == ONE for entity in range(1_200))


def test_a_view_that_is_being_removed_takes_none(redis_url):
    with closing(connect(redis_url)) as client, writer(redis_url) as pushing:
        client.hset(catalog_key("tests"), removal_field("delays"), b"{}")
        with pytest.raises(StoreUnavailable, match="takes no rows of 'delays': that view is being removed"):
            pushing.push(range(5))
        assert client.dbsize() == 1


def test_a_key_that_is_no_hash_is_told_and_the_others_arrive(redis_url):
    with closing(connect(redis_url)) as client, writer(redis_url) as pushing:
        client.set(key(1), "text")
        with pytest.raises(StoreUnavailable, match="holds something else than rows at 1 keys"):
            pushing.push(range(5))
        assert [client.type(key(entity)) for entity in range(5)] == [b"hash", b"string", *[b"hash"] * 3]


def test_a_server_that_takes_no_writes_for_a_while(tmp_path: Path):
    with (
        embedded_valkey.running(StateFolders(tmp_path), port=embedded_valkey.FREE_PORT) as server,
        Redis.from_url(server.url) as admin,
    ):
        with writer(server.url) as pushing:
            pushing.push([1])
            admin.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(StoreUnavailable, match=r"does not take rows \(READONLY\)"):
                pushing.push([2])
            admin.execute_command("REPLICAOF", "NO", "ONE")
            pushing.push([2])
        assert admin.hget(key(2), "delays") == ONE


def test_a_primary_that_is_demoted(redis_sentinel):
    """Until it knows, it takes rows that are lost then; after that pushes go to its successor without a restart."""
    with writer(redis_sentinel.url) as pushing:
        pushing.push([1])
        before = redis_sentinel.primary
        redis_sentinel.sentinel.ask("SENTINEL", "FAILOVER", "features")
        until(lambda: redis_sentinel.primary is not before)
        arrived = lambda: redis_sentinel.primary.ask("HGET", key(2), "delays") == ONE  # noqa: E731
        until(lambda: pushing.arrives([2]) and arrived())
        assert redis_sentinel.primary.ask("HGET", key(1), "delays") == ONE


def test_a_slot_that_is_on_its_way(redis_cluster):
    with writer(redis_cluster.url) as pushing:
        pushing.push(range(20))
        _, target = redis_cluster.begin_move(key(99))
        pushing.push([99, *range(20)])
        assert target.ask("CLUSTER", "COUNTKEYSINSLOT", target.ask("CLUSTER", "KEYSLOT", key(99))) == 1
    redis_cluster.move_slot(key(99))
    with redis_cluster.client() as client:
        assert all(client.hget(key(entity), "delays") == ONE for entity in (99, *range(20)))
