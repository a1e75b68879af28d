"""Both shells of the write protocol leave the same bytes in Redis: the server's on asyncio and that of the offline steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import msgspec
import numpy as np
import pytest

from skewless.contract.errors import RemovalUnfinished, SkewlessError
from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.storage.catalog import catalog_key, removal_field, schema_entry, view_entry
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode
from skewless.online.store.connection import connect
from skewless.online.store.redis_errors import UnwritableKeys
from skewless.online.store.store import SyncOnlineStore
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.writer import OnlineStoreWriter
from tests.oracles import Row, entity_key, merged, packed_row

SCHEMA = (Field("mean", "Float32"), Field("gate", "String"))
VIEW = PlanView("delays", "delays", (JoinKey("origin", "origin", "String"),), SCHEMA, 0, "created_timestamp")
FORMER = msgspec.structs.replace(VIEW, fields=SCHEMA[:1])
DAY, HOUR = 86_400_000_000, 3_600_000_000
NOW = 9 * DAY
AGING = msgspec.structs.replace(VIEW, ttl_us=DAY)
ENTITIES = 1_203
"""More than two calls take."""

Pairs = Sequence[tuple[bytes, bytes]]
Push = Callable[[PlanView, Pairs], None]


def key(number: int) -> bytes:
    return entity_key("tests", {"origin": ("String", f"A{number}")})


def row(number: int, event: int, created: int, *, deleted: bool = False, view: PlanView = VIEW) -> bytes:
    values = (np.float32(number), None if number % 3 else "gate" * (number % 40))[: len(view.fields)]
    return packed_row(Row((), event, created, deleted, values, view.fields))


@contextmanager
def asyncio_shell(url: str) -> Iterator[Push]:
    store = OnlineStoreWriter(url, "tests", timeout_s=30)
    with asyncio.Runner() as loop:
        try:
            yield lambda view, pairs: loop.run(store.write(view, pairs, NOW))
        finally:
            loop.run(store.close())


@contextmanager
def sync_shell(url: str) -> Iterator[Push]:
    with closing(connect(url)) as client:
        store = SyncOnlineStore(client, "tests")

        def push(view: PlanView, pairs: Pairs) -> None:
            horizon = store.prepare(view).horizon(NOW)
            try:
                store.write(view, [name for name, _ in pairs], [packed for _, packed in pairs], horizon)
            finally:
                store.introduce(view)

        yield push


SHELLS = {"asyncio": asyncio_shell, "sync": sync_shell}


@pytest.fixture(params=["redis_url", "redis_cluster"])
def url(request) -> str:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, str) else found.url


@pytest.fixture(params=SHELLS)
def push(request, url: str) -> Iterator[Push]:
    with SHELLS[request.param](url) as push:
        yield push


@pytest.fixture
def client(url: str):
    with closing(connect(url)) as client:
        yield client


def contents(client) -> dict[bytes, dict[bytes, bytes]]:
    return {name: client.hgetall(name) for name in client.scan_iter(count=1_000)}


def catalog(*views: PlanView) -> dict[bytes, bytes]:
    return {field: entry for view in views for field, entry in schema_entry(view).items()} | view_entry(views[-1])


def batches() -> list[Pairs]:
    """New rows, then corrections, late rows, tombstones and repetitions of a part of them, twice within a batch too."""
    first = [(key(number), row(number, 5 * DAY, 5 * DAY)) for number in range(ENTITIES)]
    second = [
        *[(key(number), row(number + 1, 5 * DAY, 5 * DAY + 1)) for number in range(0, ENTITIES, 2)],
        *[(key(number), row(number + 2, 4 * DAY, 6 * DAY)) for number in range(0, ENTITIES, 3)],
        *[(key(number), row(number, 6 * DAY, 6 * DAY, deleted=True)) for number in range(0, ENTITIES, 5)],
        *[(key(number), row(number + 3, 6 * DAY, 6 * DAY)) for number in range(0, ENTITIES, 7)],
        *first[:100],
        *[(key(number), row(number, -DAY, 0)) for number in range(ENTITIES, ENTITIES + 3)],
    ]
    return [first, second, second[::-1]]


def test_the_same_bytes(push: Push, client):
    for batch in batches():
        push(VIEW, batch)
    rows = merged([pair for batch in batches() for pair in batch])
    assert contents(client) == {catalog_key("tests"): catalog(VIEW)} | {
        name: {b"delays": packed} for name, packed in rows.items()
    }


def test_no_rows_but_a_catalog(push: Push, client):
    push(VIEW, [])
    assert contents(client) == {catalog_key("tests"): catalog(VIEW)}


def test_a_view_that_was_redefined(push: Push, client):
    """Its former rows stay readable, and its definition is that of the last materialization."""
    push(FORMER, [(key(1), row(1, 2, 2, view=FORMER)), (key(2), row(2, 1, 1, view=FORMER))])
    push(VIEW, [(key(1), row(1, 2, 2)), (key(2), row(2, 0, 0))])
    assert contents(client) == {
        catalog_key("tests"): schema_entry(FORMER) | schema_entry(VIEW) | view_entry(FORMER),
        key(1): {b"delays": row(1, 2, 2)},
        key(2): {b"delays": row(2, 1, 1, view=FORMER)},
    }


def test_a_view_that_is_being_removed(push: Push, client):
    client.hset(catalog_key("tests"), removal_field("delays"), b"{}")
    with pytest.raises((RemovalUnfinished, StoreUnavailable), match="being removed"):
        push(VIEW, [(key(1), row(1, 1, 1))])
    assert contents(client) == {catalog_key("tests"): {removal_field("delays"): b"{}"} | schema_entry(VIEW)}


def test_keys_that_are_no_hashes(push: Push, client):
    strange = [key(number) for number in range(0, 1_000, 250)]
    for name in strange:
        client.set(name, "text")
    with pytest.raises(SkewlessError, match=r"4 keys|and 1 more") as refused:
        push(VIEW, [(key(number), row(number, 1, 1)) for number in range(1_000)])
    assert isinstance(refused.value, UnwritableKeys | StoreUnavailable)
    assert {client.get(name) for name in strange} == {b"text"}
    for name in strange:
        client.delete(name)
    assert contents(client) == {catalog_key("tests"): catalog(VIEW)} | {
        key(number): {b"delays": row(number, 1, 1)} for number in range(1_000) if number % 250
    }


def test_rows_that_the_server_removes(push: Push, client):
    """A day of ttl and two of grace: what lies further back is gone at once, the rest has its deadline."""
    client.hset(catalog_key("tests"), EXPIRY, ExpiryMode.SERVER.encode())
    ages = [HOUR, DAY, 3 * DAY - HOUR, 3 * DAY, 3 * DAY + HOUR]
    push(AGING, [(key(number), row(number, NOW - age, NOW - age)) for number, age in enumerate(ages)])
    assert contents(client) == {
        catalog_key("tests"): {EXPIRY: b"server"} | catalog(AGING),
        **{key(number): {b"delays": row(number, NOW - age, NOW - age)} for number, age in enumerate(ages[:3])},
    }
    left = [client.execute_command("HPTTL", key(number), "FIELDS", 1, "delays")[0] for number in range(3)]
    assert left == [pytest.approx((3 * DAY - age) // 1_000, abs=60_000) for age in ages[:3]]
