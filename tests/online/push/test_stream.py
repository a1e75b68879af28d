"""Events of a Redis stream, consumed by real processes that are killed: nothing is lost, repeats are harmless."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from redis import Redis

from skewless.contract.errors import InvalidInput, InvalidRows, SkewlessError
from skewless.contract.plan import Field
from skewless.contract.state_folder import StateFolders
from skewless.contract.timestamps import to_micros
from skewless.online.push.stop_signal import StopSignal
from skewless.online.push.stream import StreamConsumer
from skewless.online.push.stream_entries import GROUP, StreamEntries
from skewless.online.store import embedded_valkey
from skewless.online.store.connection import RedisUnreachable, connect
from skewless.online.store.redis_errors import StoreFull
from skewless.runtime.errors import FeastRegistryUnavailable
from tests.faults.killed_calls import lives, spawner
from tests.online.push.consumers import QUICK, add, consumer, once
from tests.services.waiting import HANG_SECONDS, until
from tests.tables.pushed_view import CARDS, PROJECT, TARGET, differences, row, stored


@pytest.fixture
def one(tmp_path: Path, redis_url: str) -> StreamConsumer:
    return consumer(tmp_path, redis_url)


def letters(redis: Redis, consumer: StreamConsumer) -> list[tuple[bytes, str]]:
    return [(entry[b"entry"], entry[b"reason"].decode()) for _, entry in redis.xrange(consumer.entries.dead)]


def now() -> int:
    return to_micros(datetime.now(UTC))


def test_rows_that_nobody_expects_go_to_the_dead_letters(
    tmp_path: Path, one: StreamConsumer, redis: Redis, redis_url: str
):
    def refuse(rows: pa.Table) -> None:
        if 666 in rows.column("customer").to_pylist():
            raise InvalidRows("cards", (InvalidInput("", "range of customer: 1 of 3 values are outside"),))

    one.check_of = lambda view: refuse
    good, bad, last = add(one, row(1)), add(one, row(666), row(2)), add(one, row(3))
    assert (once(one).rows, one.streamed.dead_lettered) == (2, 1)
    ((entry, reason),) = letters(redis, one)
    assert entry == bad not in (good, last)
    assert "range of customer" in reason
    assert [held.key[0] for held in stored(tmp_path)] == [1, 3]
    assert differences(redis_url, tmp_path, to_micros(datetime.now(UTC))) == []


def test_events_are_on_both_sides_before_they_are_done(one, tmp_path, redis_url):
    for number in range(120):
        add(one, row(number), row(number, minutes=1, amount=number))
    add(one, row(7, minutes=2))
    done = once(one)
    assert (done.entries, done.rows, done.dead_lettered) == (121, 241, 0)
    assert len(stored(tmp_path)) == 241
    assert len(list(tmp_path.glob("cards/*.parquet"))) == 3, "a part for each batch"
    assert differences(redis_url, tmp_path, now()) == []
    status = one.entries.status()
    assert (status.length, status.lag, status.pending, status.dead) == (0, 0, 0, 0)


def test_a_lone_row_needs_no_array(one, tmp_path):
    one.entries.add("cards", json.dumps(row(1)).encode())
    assert once(one).rows == 1


def test_entries_may_be_kept(tmp_path, redis_url, redis):
    keeping = consumer(tmp_path, redis_url)
    keeping.entries = StreamEntries(connect(redis_url), PROJECT, "keeps", keep=True)
    add(keeping, row(1))
    assert once(keeping).entries == 1
    status = keeping.entries.status()
    assert (status.length, status.lag, status.pending) == (1, 0, 0)


def test_poison_goes_to_the_dead_letters_with_its_reason_and_the_rest_goes_on(one, redis, tmp_path):
    good = add(one, row(1))
    bad = [
        add(one, row(2, amount="x")),
        add(one, row(3), view="nobody"),
        one.entries.add("cards", b"{"),
        redis.xadd(one.entries.key, {"rows": "[]"}),
    ]
    done = once(one)
    assert (done.entries, done.dead_lettered) == (1, 4)
    found = letters(redis, one)
    assert [entry for entry, _ in found] == bad
    reasons = ["/0/amount: must be a number", "no such online feature view", "not JSON", "lacks a field"]
    assert all(part in told for part, (_, told) in zip(reasons, found, strict=True)), found
    assert one.entries.status().dead == 4
    assert one.entries.status().length == 0
    assert good not in [entry for entry, _ in found]
    assert [r.key[0] for r in stored(tmp_path)] == [1]


def test_a_shared_table_is_no_target(tmp_path, redis_url, redis):
    shared = consumer(tmp_path, redis_url, targets={"cards": msgspec.structs.replace(TARGET, shared_with=("other",))})
    add(shared, row(1))
    assert once(shared).dead_lettered == 1


def test_a_view_that_takes_no_json_is_nobody_elses_trouble(tmp_path, redis_url, redis):
    view = msgspec.structs.replace(CARDS, stored_as="odd", fields=(Field("map", "ScalarMap"),))
    odd = msgspec.structs.replace(TARGET, view=view, folder="odd", renamed=())
    both = consumer(tmp_path, redis_url, targets={"odd": odd, "cards": TARGET})
    add(both, row(1), view="odd")
    add(both, row(2))
    done = once(both)
    assert (done.entries, done.dead_lettered) == (1, 1)
    ((_, reason),) = letters(redis, both)
    assert "ScalarMap" in reason


def test_a_view_that_is_applied_later_is_found(tmp_path, redis_url, monkeypatch):
    targets: dict = {}
    late = consumer(tmp_path, redis_url, targets=targets)
    add(late, row(1))
    assert once(late).dead_lettered == 1
    targets["cards"] = TARGET
    monkeypatch.setattr("skewless.online.push.stream._MISSING_S", 0)
    add(late, row(2))
    assert once(late).entries == 1


def test_a_registry_that_is_away_stops_nobody_whose_view_is_known(tmp_path, redis_url, monkeypatch):
    monkeypatch.setattr("skewless.online.push.stream._REFRESH_S", 0)
    monkeypatch.setattr("skewless.online.push.stream._MISSING_S", 0)
    one, targets = consumer(tmp_path, redis_url), [{"cards": TARGET}]

    def find() -> dict:
        if not targets:
            raise FeastRegistryUnavailable("postgresql://host/registry", "refused")
        return targets.pop()

    one.find = find
    add(one, row(1))
    assert once(one).entries == 1
    add(one, row(2))
    assert once(one).entries == 2
    add(one, row(3), view="later")
    with pytest.raises(FeastRegistryUnavailable):
        one.step(wait=False)
    targets.append({"cards": TARGET, "later": TARGET})
    assert once(one).entries == 3, "it was kept until somebody knew"


def test_an_entity_that_cannot_be_written_is_dead_lettered_alone(one, redis, tmp_path, redis_url):
    from tests.oracles import entity_key

    key = entity_key(PROJECT, {"customer": ("Int64", 2), "shop": ("String", "A")})
    redis.set(key, "not ours")
    for number in (1, 2, 3):
        add(one, row(number))
    done = once(one)
    assert (done.entries, done.dead_lettered) == (2, 1)
    ((_, reason),) = letters(redis, one)
    assert "something else than a hash" in reason


def test_what_a_dead_consumer_held_is_claimed_and_what_kills_them_is_dead_lettered(tmp_path, redis_url, redis):
    dead = StreamEntries(connect(redis_url), PROJECT, "dead")
    dead.open()
    living = consumer(tmp_path, redis_url, limits=replace(QUICK, idle=timedelta(hours=1)))

    def idle_for_an_hour() -> None:
        (entry,) = redis.xpending_range(living.entries.key, GROUP, "-", "+", 10)
        one_hour_ms = living.limits.idle // timedelta(milliseconds=1)
        redis.xclaim(living.entries.key, GROUP, "dead", 0, [entry["message_id"]], idle=one_hour_ms, justid=True)

    add(living, row(1))
    assert len(dead.read(10, None)) == 1
    assert once(living).entries == 0, "it may still be at work"
    idle_for_an_hour()
    assert once(living).entries == 1
    add(living, row(2))
    dead.read(10, None)
    for _ in range(QUICK.deliveries):
        dead.claim(10, 0)
    idle_for_an_hour()
    assert once(living).dead_lettered == 1
    ((_, reason),) = letters(redis, living)
    assert "handed out 7 times" in reason


def test_a_full_store_keeps_events_waiting_and_appends_nothing(one, redis, tmp_path, redis_url):
    add(one, row(1))
    one.entries.open()
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            one.step(wait=False)
    finally:
        redis.config_set("maxmemory", 0)
    with pytest.raises(Exception, match="holds no Parquet file"):
        stored(tmp_path)
    assert once(one).entries == 1
    assert differences(redis_url, tmp_path, now()) == []


def test_an_outage_is_waited_out(tmp_path):
    folders = StateFolders(tmp_path / "server")
    data = tmp_path / "data"
    with embedded_valkey.running(folders, persistent=True) as server:
        one = consumer(data, server.url)
        outages: list[SkewlessError] = []
        one.on_outage = outages.append
        add(one, row(1))
        stop = threading.Event()
        runs = threading.Thread(target=one.run, args=(stop.is_set,))
        runs.start()
        try:
            until(lambda: one.streamed.entries == 1)
            embedded_valkey.stop(folders)
            with pytest.raises(RedisUnreachable):
                one.entries.status()
            until(lambda: outages)
            embedded_valkey.start(folders, persistent=True)
            add(one, row(2))
            until(lambda: one.streamed.entries == 2)
        finally:
            stop.set()
            runs.join(HANG_SECONDS)
        assert not runs.is_alive()
        assert differences(server.url, data, now()) == []


@pytest.mark.timeout(900)
def test_killing_consumers_loses_nothing(tmp_path, redis_url, redis):
    """Two processes consume; again and again one of them is killed at a random instant, until 15 were."""
    writer = consumer(tmp_path, redis_url)
    writer.entries.open()
    chance, sent = random.Random(5), 0

    def names() -> list[bytes]:
        return [one["name"] for one in redis.xinfo_consumers(writer.entries.key, "skewless")]

    def joined(pid: int) -> bool:
        return f"process-{pid}".encode() in names()

    with spawner("tests.online.push.consumers", "serve") as spawn:
        running = [spawn(str(tmp_path), redis_url) for _ in range(2)]
        for _ in range(15):
            for _ in range(40):
                sent += 1
                add(writer, row(chance.randrange(30), minutes=-sent if sent % 3 else -sent / 60, amount=sent))
                time.sleep(chance.random() * 0.004)
            place = chance.randrange(2)
            until(partial(joined, running[place]))
            time.sleep(chance.random() * 0.05)
            os.kill(running[place], signal.SIGKILL)
            running[place] = spawn(str(tmp_path), redis_url)
        until(lambda: (s := writer.entries.status()).length == 0 and s.pending == 0)
        for pid in running:
            until(partial(joined, pid))
            os.kill(pid, signal.SIGTERM)
        until(lambda: not any(map(lives, running)))
        assert not any(map(joined, running)), "who stops gracefully leaves the group"
    assert {one.values[0] for one in stored(tmp_path)} == set(range(1, sent + 1))
    assert differences(redis_url, tmp_path, now()) == []
    assert writer.entries.status().dead == 0


def test_stopping_takes_the_signals_for_the_length_of_a_block():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stopping:
        assert not stopping()
        os.kill(os.getpid(), signal.SIGTERM)
        until(stopping)
    assert signal.getsignal(signal.SIGTERM) == before
