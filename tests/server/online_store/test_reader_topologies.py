"""The predict server over a cluster, behind sentinels, over TLS and with users: what changes there, it rides out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.lookup import HashLookup, Reply
from skewless.online.store import embedded_valkey
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.reader import OnlineStoreReader
from tests.models.tiny_rows import fill
from tests.services.predict_server import ROW, Live, serving, settings_of
from tests.services.tls_proxy import tls_proxy, write_certificate
from tests.services.waiting import until

JFK = EntityKeyEncoder("tests", ["origin"], ["String"]).encode(["JFK"])


def read(url: str, *lookups: HashLookup) -> list[Reply]:
    async def once() -> list[Reply]:
        store = OnlineStoreReader(url, timeout_s=2)
        try:
            await store.ping()
            return await store.read(lookups)
        finally:
            await store.close()

    return asyncio.run(once())


def told(live: Live) -> tuple[object, object]:
    features = live.explain(ROW)
    return features["delays__mean"]["value"], features["planes__age"]["value"]


RIGHT = (7.25, 12.5)


def answers(live: Live) -> bool:
    answer = live.predict(ROW)
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


def test_many_entities_of_a_cluster_at_once(redis_cluster):
    names = [b"%d" % number for number in range(60)]
    with redis_cluster.client() as client:
        for name in names:
            client.hset(name, "x", name)
    lookups = [HashLookup(name, (b"x", b"y")) for name in (*names, b"none")]
    assert read(redis_cluster.url, *lookups) == [*([name, None] for name in names), [None, None]]


def test_a_slot_that_is_on_its_way(redis_cluster):
    with redis_cluster.client() as client:
        client.hset("k", "x", "1")
        client.hset("other", "x", "2")
    lookups = [HashLookup(b"k", (b"x",)), HashLookup(b"other", (b"x",)), HashLookup(b"k", (b"y",))]
    source, target = redis_cluster.begin_move(b"k")
    assert source.ask("CLUSTER", "COUNTKEYSINSLOT", source.ask("CLUSTER", "KEYSLOT", b"k")) == 0
    assert read(redis_cluster.url, *lookups) == [[b"1"], [b"2"], [None]]
    for one in (target, source):
        slot = one.ask("CLUSTER", "KEYSLOT", b"k")
        one.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID").decode())
    assert read(redis_cluster.url, *lookups) == [[b"1"], [b"2"], [None]]


def test_a_cluster_that_moves_a_slot_and_loses_a_primary(redis_cluster, state: Path):
    fill(redis_cluster.url)
    with serving(settings_of(state, redis_cluster.url, redis_timeout_s=2)) as live:
        assert told(live) == RIGHT
        assert live.predict({**ROW, "origin": None, "tailnum": None}).status_code == 200
        redis_cluster.move_slot(JFK)
        assert told(live) == RIGHT
        primary = redis_cluster.primary_of(JFK)
        assert primary.ask("WAIT", 1, 5000) == 1
        replica = redis_cluster.replica_of(primary)
        primary.kill()
        until(lambda: replica.ask("ROLE")[0] == b"master")
        until(lambda: answers(live))
        assert told(live) == RIGHT


def test_sentinels_whose_primary_dies(redis_sentinel, state: Path):
    fill(redis_sentinel.url)
    primary = redis_sentinel.primary
    assert primary.ask("WAIT", 1, 5000) == 1
    with serving(settings_of(state, redis_sentinel.url, redis_timeout_s=0.5)) as live:
        assert told(live) == RIGHT
        primary.kill()
        refused = live.predict(ROW)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        until(lambda: redis_sentinel.primary is not primary)
        until(lambda: answers(live))
        assert told(live) == RIGHT


def test_no_sentinel_knows_the_service(redis_sentinel):
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        read(redis_sentinel.url.replace("features", "other"), HashLookup(b"k", (b"x",)))
    # A dead sentinel is passed over.
    redis_sentinel.primary.ask("HSET", "k", "x", "1")
    both = redis_sentinel.url.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1")
    assert read(both, HashLookup(b"k", (b"x",))) == [[b"1"]]


def test_tls_with_an_authority_of_ones_own(tmp_path: Path, redis_url: str):
    authority = write_certificate(tmp_path)
    with Redis.from_url(redis_url) as client:
        client.hset("k", "x", "1")
    with tls_proxy(tmp_path, redis_url.removeprefix("unix://")) as port:
        assert read(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority}", HashLookup(b"k", (b"x",))) == [[b"1"]]
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            read(f"rediss://127.0.0.1:{port}")


def test_a_user_who_may_only_read(tmp_path: Path):
    with (
        embedded_valkey.running(StateFolders(tmp_path), port=embedded_valkey.FREE_PORT) as server,
        Redis.from_url(server.url) as admin,
    ):
        admin.hset("k", "x", "1")
        admin.hset("other", "x", "1")
        admin.execute_command("ACL", "SETUSER", "reader", "on", ">se:cret", "~k", "+hmget", "+ping")
        place = server.url.split("://", 1)[1].rstrip("/")
        lookup: Sequence[HashLookup] = [HashLookup(b"k", (b"x",))]
        assert read(f"redis://reader:se%3Acret@{place}", *lookup) == [[b"1"]]
        with pytest.raises(StoreUnavailable, match="refuses: WRONGPASS"):
            read(f"redis://reader:other@{place}", *lookup)
        with pytest.raises(StoreUnavailable, match="NOPERM"):
            read(f"redis://reader:se%3Acret@{place}", HashLookup(b"other", (b"x",)))
