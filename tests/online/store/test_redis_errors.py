"""What a Redis that is full, read-only or holds other things is told to be; the rest of a batch is written."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from redis import Redis

from skewless.contract.errors import CorruptRow, RemovalUnfinished
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.lookup import HashLookup
from skewless.online.store import embedded_valkey
from skewless.online.store.connection import RedisUnreachable, connect
from skewless.online.store.redis_errors import StoreFull, StoreReadOnly, UnwritableKeys, mapped
from skewless.online.store.store import SyncOnlineStore
from tests.tables.arrays import packed
from tests.tables.delay_rows import VIEW, key, row


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded_valkey.RunningValkey]:
    with embedded_valkey.running(StateFolders(tmp_path_factory.mktemp("refusing"))) as server:
        yield server


@pytest.fixture
def client(server: embedded_valkey.RunningValkey) -> Iterator[Redis]:
    """Of a server that the test may spoil."""
    with closing(connect(server.url)) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", "0")
        client.replicaof("NO", "ONE")


def rows(number: int) -> tuple[list[bytes], list[bytes]]:
    (one,) = packed(VIEW.fields, [row(1.0, 1)])
    return [key(entity) for entity in range(number)], [one] * number


def test_a_full_store_is_told_and_takes_the_rest_once_there_is_room(client: Redis):
    writer = SyncOnlineStore(client, "tests")
    writer.prepare(VIEW)
    client.config_set("maxmemory", "1")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for write in (
        lambda: writer.write(VIEW, *rows(10)),
        lambda: writer.prepare(VIEW),
        lambda: writer.register(VIEW, None, now, refill=True),
    ):
        with pytest.raises(StoreFull, match=r"valkey\.sock is full: not all rows of feature view 'delays'.*maxmemory"):
            write()
    assert writer.read([HashLookup(key(1), (b"delays",))]) == [[None]], "reading goes on"
    client.config_set("maxmemory", "0")
    assert writer.write(VIEW, *rows(10)) == 10


def test_a_replica_is_told(client: Redis):
    writer = SyncOnlineStore(client, "tests")
    writer.prepare(VIEW)
    client.replicaof("127.0.0.1", "1")
    with pytest.raises(
        StoreReadOnly, match=r"takes no writes, so feature view 'delays' was not written: it is a replica"
    ):
        writer.write(VIEW, *rows(3))
    client.replicaof("NO", "ONE")
    assert writer.write(VIEW, *rows(3)) == 3


def test_keys_of_another_kind_are_named_and_the_rest_of_the_batch_is_written(client: Redis):
    client.set(key(3), "text")
    client.lpush(key(7), "list")
    writer = SyncOnlineStore(client, "tests")
    with pytest.raises(UnwritableKeys, match=r"not written for origin='A3'; origin='A7': their keys") as refused:
        writer.write(VIEW, *rows(10))
    assert refused.value.entities == ("origin='A3'", "origin='A7'")
    lookups = [HashLookup(key(entity), (b"delays",)) for entity in range(10)]
    answers = writer.read_each(lookups)
    (one,) = rows(1)[1]
    assert [place for place, answer in enumerate(answers) if answer != [one]] == [3, 7]
    assert str(answers[3]) == str(CorruptRow("delays", "its key holds something else than a hash", "origin='A3'"))
    with pytest.raises(CorruptRow, match="entity origin='A3'"):
        writer.read(lookups)
    assert client.get(key(3)) == b"text", "what is not ours is left alone"


@pytest.mark.parametrize(
    "error",
    [
        StoreFull("redis://h", "v"),
        StoreReadOnly("redis://h", "v"),
        UnwritableKeys("v", ("a", "b", "c", "d")),
        RemovalUnfinished("v"),
    ],
)
def test_errors_cross_processes_and_name_the_view(error):
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert "feature view 'v'" in str(error)


def test_what_nobody_foresaw_is_unreachable():
    with Redis.from_url("redis://127.0.0.1:1") as client, pytest.raises(RedisUnreachable), mapped(client):
        raise OSError("gone")
