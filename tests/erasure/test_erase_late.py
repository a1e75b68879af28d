"""What is on its way while a subject is erased: pushes between table and store, and entries that consumers hold."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from skewless.contract.storage.part_files import PREFIX
from skewless.erasure import erase
from skewless.erasure.erase import ErasurePlaces, ErasureUnfinished
from skewless.online.push.stream import StreamConsumer, StreamLimits
from skewless.online.push.stream_entries import StreamEntries, StreamEntry
from skewless.online.store.connection import connect
from skewless.online.store.redis_errors import StoreFull
from skewless.online.store.store import SyncOnlineStore
from skewless.server.online_store.writer import OnlineStoreWriter
from tests.erasure.shop_project import NOW, SUBJECT, TARGETS, clock, places, put, run
from tests.oracles import entity_key
from tests.services.predict_server import Live, serving, settings_of
from tests.services.waiting import until
from tests.tables.pushed_view import PROJECT, differences, offer, row, stored

PUSH = "/v1/feature-views/cards/push"
KEY = entity_key(PROJECT, {"customer": ("Int64", 42), "shop": ("String", "A")})


@pytest.fixture
def where(tmp_path: Path, redis_url: str) -> ErasurePlaces:
    made = places(tmp_path, redis_url)
    put(made, "cards", row(41), row(42), row(43))
    return made


@pytest.fixture
def live(where: ErasurePlaces, redis_url: str) -> Iterator[Live]:
    offer(redis_url)
    with serving(settings_of(where.folders.root, redis_url, push_project=PROJECT)) as server:
        server.clock.now = NOW
        yield server


@contextmanager
def held_up(live: Live, monkeypatch: pytest.MonkeyPatch, *rows: dict) -> Iterator[threading.Event]:
    """A push whose rows are in the table; the event lets them go on to the online store."""
    go, write = threading.Event(), OnlineStoreWriter.write

    async def waits(self: OnlineStoreWriter, *given: object) -> None:
        await asyncio.to_thread(go.wait, 30)
        await write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(OnlineStoreWriter, "write", waits)
    answers: list[httpx.Response] = []
    pusher = threading.Thread(
        target=lambda: answers.append(live.client.post(PUSH, json={"rows": list(rows)}, timeout=40))
    )
    folder, before = live.settings.folders.data / "cards", len(stored(live.settings.folders.data))
    pusher.start()
    try:
        until(lambda: len(stored(live.settings.folders.data)) == before + len(rows))
        assert list(folder.glob(f"{PREFIX}*"))
        yield go
    finally:
        go.set()
        pusher.join(30)
    assert [answer.status_code for answer in answers] == [200]


def run_settling(where: ErasurePlaces, sleep, report=lambda *_: None) -> None:
    receipt, _ = erase.run(SUBJECT, where, clock, settle=timedelta(seconds=1), sleep=sleep, report=report)
    assert receipt.status == "done"


def test_a_push_between_table_and_store_is_erased_from_both(where: ErasurePlaces, live: Live, monkeypatch):
    """Its part is found and removed; its row comes online only then. What is told says for what it waits."""
    told: list[tuple[str, int, int]] = []
    with held_up(live, monkeypatch, row(42, minutes=1), row(44, minutes=1)) as go:

        def sleep(_: float) -> None:
            assert where.client.exists(KEY) == 0, "it was removed"
            if not go.is_set():
                go.set()
                until(lambda: where.client.exists(KEY))

        run_settling(where, sleep, lambda *one: told.append(one))
    assert [one for one in told if "on their way" in one[0]] == [
        ("waiting for pushes, streams and served logs on their way", 0, 1)
    ] * 2, "once for what it found, once for what came behind"
    assert where.client.exists(KEY) == 0
    assert {one.key[0] for one in stored(where.data)} == {41, 43, 44}
    assert differences(live.settings.redis_url, where.data, NOW) == []
    assert erase.plan(SUBJECT, where).empty


def test_a_push_that_takes_a_while_has_the_time_to_land(where: ErasurePlaces, live: Live, monkeypatch):
    """By the clocks of this world."""
    with held_up(live, monkeypatch, row(42, minutes=1)) as go:
        threading.Timer(0.4, go.set).start()
        erase.run(SUBJECT, where, clock, settle=timedelta(seconds=1.5))
    assert where.client.exists(KEY) == 0
    assert differences(live.settings.redis_url, where.data, NOW) == []


def test_a_served_log_that_is_written_meanwhile_is_erased_too(where: ErasurePlaces):
    logged = where.folders.served / "model=m" / "version=1" / "late.parquet"

    def sleep(_: float) -> None:
        if not logged.exists():
            logged.parent.mkdir(parents=True)
            pq.write_table(pa.table({"entity:customer": [42, 41]}), logged)

    run_settling(where, sleep)
    assert pq.read_table(logged, partitioning=None).column("entity:customer").to_pylist() == [41]


def test_nothing_to_remove_is_nothing_to_wait_for(tmp_path: Path, redis_url: str):
    def sleep(_: float) -> None:
        raise AssertionError("nobody is on the way")

    nobody = places(tmp_path, redis_url)
    put(nobody, "cards", row(41))
    run_settling(nobody, sleep)


def test_a_run_that_takes_up_a_killed_one_waits_for_what_that_left_on_its_way(where: ErasurePlaces, monkeypatch):
    """It finds nothing at first: the killed one removed all, just now."""
    with monkeypatch.context() as dying:
        dying.setattr(erase, "_settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            erase.run(SUBJECT, where, clock)
    assert erase.plan(SUBJECT, where).empty
    late = iter(["it comes online now"])
    run_settling(where, lambda _: [where.client.hset(KEY, "cards", row) for row in late])
    assert where.client.exists(KEY) == 0
    assert len(list(where.receipts.iterdir())) == 1


def test_who_never_stops_is_told_after_a_few_rounds(where: ErasurePlaces):
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        where.client.hset(KEY, "cards", "again")

    with pytest.raises(ErasureUnfinished, match="run this again"):
        erase.run(SUBJECT, where, clock, settle=timedelta(seconds=1.5), sleep=sleep)
    assert slept == [1.0, 0.5] * 5


def consumer(where: ErasurePlaces, redis_url: str) -> StreamConsumer:
    client = connect(redis_url)
    limits = StreamLimits(idle=timedelta(milliseconds=300), block=timedelta(milliseconds=50))
    store, entries = SyncOnlineStore(client, PROJECT), StreamEntries(client, PROJECT, "holds")
    return StreamConsumer(PROJECT, where.data, store, entries, lambda: TARGETS, lambda: datetime.now(UTC), limits)


def add(where: ErasurePlaces, *rows: dict, view: str = "cards") -> None:
    where.entries.add(view, json.dumps(list(rows)).encode())


def test_entries_that_a_consumer_holds_are_not_pushed_once_they_are_erased(where: ErasurePlaces, redis_url: str):
    one = consumer(where, redis_url)
    one.entries.open()
    add(where, row(42, minutes=1))
    add(where, row(42, minutes=2), row(44, minutes=2))
    add(where, row(45, minutes=1))
    add(where, {"customer": 42, "shop": "A"})
    full(where.client, one)
    run(SUBJECT, where)
    done = one.run(lambda: False, once=True)
    assert (done.entries, done.rows, done.skipped, done.dead_lettered) == (2, 2, 3, 0), (
        "the rest of the second came anew"
    )
    assert {held.key[0] for held in stored(where.data)} == {41, 43, 44, 45}
    assert differences(redis_url, where.data, now()) == []
    assert erase.plan(SUBJECT, where).empty
    status = one.entries.status()
    assert (status.length, status.pending, status.dead) == (0, 0, 0)


def full(client: Redis, one: StreamConsumer) -> None:
    """The consumer has read its entries, and before it pushes them the store is full."""
    read = one.entries.read

    def last(count: int, block_ms: int | None) -> list[StreamEntry]:
        held = read(count, block_ms)
        client.config_set("maxmemory", 1)
        return held

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(one.entries, "read", last)
        with pytest.raises(StoreFull):
            one.step(wait=False)
    client.config_set("maxmemory", 0)


def now() -> int:
    return int(datetime.now(UTC).timestamp() * 1e6)


def test_what_another_consumer_claimed_is_left_to_that_one(where: ErasurePlaces, redis_url: str):
    one = consumer(where, redis_url)
    one.entries.open()
    add(where, row(44))
    full(where.client, one)
    other = StreamEntries(where.client, PROJECT, "other")
    assert len(other.claim(10, 0)) == 1
    assert one.step(wait=False) == 1
    assert (one.streamed.entries, one.streamed.skipped) == (0, 1)
    assert one.entries.status().pending == 1, "the other one's"


def test_what_is_in_hand_when_the_stream_itself_is_lost_is_pushed(where: ErasurePlaces, redis_url: str):
    one = consumer(where, redis_url)
    one.entries.open()
    add(where, row(44))
    full(where.client, one)
    where.client.delete(one.entries.key)
    assert one.step(wait=False) == 1
    assert 44 in {held.key[0] for held in stored(where.data)}


def test_a_consumer_knows_its_own_among_many(where: ErasurePlaces, monkeypatch):
    monkeypatch.setattr("skewless.online.push.stream_entries._PENDING_A_TRIP", 3)
    mine, other = StreamEntries(where.client, PROJECT, "mine"), StreamEntries(where.client, PROJECT, "other")
    mine.open()
    held = []
    for number in range(10):
        add(where, row(number))
        held += mine.read(1, None)
        add(where, row(number))
        other.read(1, None)
    assert mine.still_pending(held) == held
    where.client.xack(mine.key, "skewless", held[3].id)
    assert mine.still_pending(held) == held[:3] + held[4:]
    assert mine.still_pending(held[2:5]) == [held[2], held[4]]
    assert other.still_pending(held) == []
    assert mine.still_pending([]) == []
