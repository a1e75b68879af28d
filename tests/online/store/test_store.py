"""Writing under newest-wins and reading back, on a real Valkey, single and as a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from unittest.mock import patch

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis, RedisCluster

from skewless.contract.storage.completeness import StoredView
from skewless.contract.storage.lookup import HashLookup
from skewless.contract.storage.packed_row import fingerprint
from skewless.online.store import store as online
from skewless.online.store.connection import RedisUnreachable, address, connect
from skewless.online.store.redis_errors import UnwritableKeys
from skewless.online.store.store import SyncOnlineStore
from tests.oracles import entity_key, merged
from tests.services.valkey_cluster import Cluster
from tests.strategies import MOMENTS, rows
from tests.tables.arrays import packed
from tests.tables.delay_rows import OTHER, SCHEMA, VIEW, key, row

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(redis_url: str) -> Iterator[SyncOnlineStore]:
    with closing(Redis.from_url(redis_url)) as client:
        yield SyncOnlineStore(client, "tests")


@pytest.fixture(scope="module")
def cluster_client(cluster: Cluster) -> Iterator[RedisCluster]:
    with closing(connect(cluster.url)) as client:
        yield client


WRITES = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(rows(SCHEMA, MOMENTS), rows(OTHER, MOMENTS))), min_size=1, max_size=25
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(writes=WRITES, a_call=st.integers(1, 4), a_trip=st.integers(1, 3), calls=st.integers(1, 3))
@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_the_newest_row_stays_in_batches_of_any_size(redis_server, cluster_client, kind, writes, a_call, a_trip, calls):
    client = cluster_client if kind == "cluster" else Redis.from_url(redis_server.url)
    client.flushall()
    store = SyncOnlineStore(client, "tests")
    keys = [key(entity) for entity, _ in writes]
    packed_rows = [packed(row.schema, [row])[0] for _, row in writes]
    size = -(-len(writes) // calls)
    with patch.object(online, "ROWS_A_CALL", a_call), patch.object(online, "_CALLS_A_TRIP", a_trip):
        for start in range(0, len(writes), size):
            store.write(VIEW, keys[start : start + size], packed_rows[start : start + size])
        lookups = [HashLookup(key(entity), (b"delays", b"other")) for entity in range(6)]
        replies = store.read(lookups)
    left = merged(zip(keys, packed_rows, strict=True))
    assert [reply[0] for reply in replies] == [left.get(key(entity)) for entity in range(6)]
    assert {reply[1] for reply in replies} == {None}
    if kind == "single":
        client.close()


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_what_entities_hold_comes_as_a_column(redis_server, cluster_client, kind, monkeypatch):
    monkeypatch.setattr(online, "ROWS_A_CALL", 3)
    client = cluster_client if kind == "cluster" else Redis.from_url(redis_server.url)
    client.flushall()
    store, rows = SyncOnlineStore(client, "tests"), packed(SCHEMA, [row(float(number), number) for number in range(8)])
    store.write(VIEW, [key(number) for number in range(8)], rows)
    client.delete(key(5))
    client.set(key(5), "no hash")
    client.hdel(key(6), "delays")
    asked = [*range(9), 2]
    found = store.stored_rows(VIEW, pa.array([key(number) for number in asked], pa.binary()))
    assert found.to_pylist() == [rows[number] if number not in (5, 6, 8) else None for number in asked]
    assert len(store.stored_rows(VIEW, pa.array([], pa.binary()))) == 0
    client.hset(entity_key("no tests", {"origin": ("String", "A1")}), "delays", rows[0])
    like = {one for keys in store.keys_like(VIEW) for one in keys.to_pylist()}
    assert {one for one in like if store.owns(one)} == {key(number) for number in range(8) if number != 6}
    assert len(like) == 8
    if kind == "single":
        client.close()


def test_it_counts_the_rows_that_won(store: SyncOnlineStore):
    old, new = packed(SCHEMA, [row(1.0, 1), row(2.0, 2)])
    assert store.write(VIEW, [key(1), key(1), key(2)], [new, old, old]) == 2
    assert store.write(VIEW, [key(1), key(2)], [new, new]) == 1
    assert store.write(VIEW, [], []) == 0


def test_more_rows_than_one_call_takes(store: SyncOnlineStore):
    number = online.ROWS_A_CALL * online._CALLS_A_TRIP + 3
    (one,) = packed(SCHEMA, [row(1.0, 1)])
    keys = [key(entity) for entity in range(number)]
    assert store.write(VIEW, keys, [one] * number) == number
    assert store.read([HashLookup(name, (b"delays",)) for name in keys]) == [[one]] * number
    assert store.read([]) == []


def test_keys_and_rows_must_be_pairs(store: SyncOnlineStore):
    with pytest.raises(ValueError, match="1 keys and 0 rows"):
        store.write(VIEW, [key(1)], [])


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_a_schema_is_found_by_its_fingerprint(redis_url, cluster_client, kind):
    client = cluster_client if kind == "cluster" else Redis.from_url(redis_url)
    store = SyncOnlineStore(client, "tests")
    store.prepare(VIEW)
    assert store.schema(fingerprint(SCHEMA)) == SCHEMA
    assert store.schema(fingerprint(OTHER)) is None
    assert SyncOnlineStore(client, "others").schema(fingerprint(SCHEMA)) is None
    if kind == "single":
        client.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://me:secret@127.0.0.1:1/3", "redis://127.0.0.1:1/3"),
        ("rediss://:secret@127.0.0.1:1", "rediss://127.0.0.1:1/0"),
        ("unix:///no/such.sock?password=secret&db=2", "unix:///no/such.sock"),
    ],
)
def test_a_store_that_is_away_is_named_without_its_password(url: str, told: str):
    with closing(Redis.from_url(url)) as client:
        store = SyncOnlineStore(client, "tests")
        assert address(client) == told
        for use in (
            lambda: store.prepare(VIEW),
            lambda: store.register(VIEW, None, NOON, refill=True),
            lambda: store.stored_views([VIEW]),
            lambda: store.write(VIEW, [key(1)], packed(SCHEMA, [row(1.0, 1)])),
            lambda: store.read([HashLookup(key(1), (b"delays",))]),
            lambda: store.schema(b"1234"),
        ):
            with pytest.raises(RedisUnreachable, match="skewless up") as refused:
                use()
            assert refused.value.url == told
            assert "secret" not in str(refused.value)


def test_what_the_server_refuses_is_told(store: SyncOnlineStore, redis_url: str):
    with Redis.from_url(redis_url) as client:
        client.set(key(1), "no hash")
    with pytest.raises(UnwritableKeys, match="delete those keys"):
        store.write(VIEW, [key(1)], packed(SCHEMA, [row(1.0, 1)]))


def test_a_view_is_introduced_once_and_registered_anew(store: SyncOnlineStore):
    assert store.stored_views([VIEW]) == {VIEW.stored_as: StoredView()}
    store.introduce(VIEW)
    longer = msgspec.structs.replace(VIEW, ttl_us=VIEW.ttl_us + 1)
    store.introduce(longer)
    assert store.stored_views([VIEW]) == {VIEW.stored_as: StoredView(VIEW)}
    assert store.register(longer, None, NOON, refill=True) == NOON
    assert store.stored_views([VIEW]) == {VIEW.stored_as: StoredView(longer, NOON)}
    assert store.stored_views([]) == {}
