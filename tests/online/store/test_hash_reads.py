from __future__ import annotations

from contextlib import closing

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from skewless.contract.storage.lookup import HashLookup
from skewless.online.store.connection import connect
from skewless.online.store.hash_reads import read_hashes


@pytest.fixture
def client(redis_url: str):
    with closing(connect(redis_url)) as client:
        yield client


def test_replies_are_those_of_the_client(client, redis: Redis):
    redis.hset(b"one\r\n", mapping={b"a\r\n": b"1\r\n", b"": b"empty", b"\xff": b"\0" * 70_000})
    redis.set("text", "no hash")
    fields = (b"a\r\n", b"", b"\xff", b"none")
    lookups = [HashLookup(key, fields[:size]) for key in (b"one\r\n", b"none") for size in range(1, 5)]
    assert read_hashes(client, lookups) == [redis.hmget(key, list(some)) for key, some in lookups]
    (first, error, last) = read_hashes(client, [lookups[0], HashLookup(b"text", (b"a",)), lookups[0]])
    assert first == last == [b"1\r\n"]
    assert isinstance(error, ResponseError)
    assert read_hashes(client, []) == []


def test_a_connection_that_the_server_closed_is_opened_again(client, redis: Redis):
    redis.hset("h", "f", "1")
    lookups = [HashLookup(b"h", (b"f",))]
    assert read_hashes(client, lookups) == [[b"1"]]
    redis.client_kill_filter(skipme=True)
    assert read_hashes(client, lookups) == [[b"1"]]


def test_after_an_interrupted_read_the_next_one_gets_its_own_replies(client, redis: Redis, monkeypatch):
    redis.hset("h", mapping={"f": "1", "g": "2"})
    connection = client.connection_pool.get_connection()
    client.connection_pool.release(connection)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_hashes(client, [HashLookup(b"h", (b"f",))])
    assert read_hashes(client, [HashLookup(b"h", (b"g",))]) == [[b"2"]]


def test_a_server_that_is_away_is_an_error(client, monkeypatch):
    connection = client.connection_pool.get_connection()
    client.connection_pool.release(connection)
    connection.disconnect()
    monkeypatch.setattr(connection, "port", 1, raising=False)
    monkeypatch.setattr(connection, "path", "/nowhere", raising=False)
    monkeypatch.setattr(connection.retry, "_retries", 0)
    with pytest.raises((RedisError, OSError)):
        read_hashes(client, [HashLookup(b"h", (b"f",))])
