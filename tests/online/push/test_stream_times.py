"""Events in the wrong order, late, twice, and of the future: after each materialization `verify` finds no difference."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from skewless.contract.timestamps import to_micros
from skewless.online.maintenance import verify
from skewless.online.materialization import materialize
from skewless.online.materialization.materialize import plan_windows
from skewless.online.push import push
from skewless.online.push.push import PushedRows
from skewless.online.push.stream import StreamConsumer
from skewless.online.store.connection import connect
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from tests.faults.killed_calls import lives, spawner
from tests.online.push.consumers import add, consumer, once
from tests.oracles import entity_key
from tests.services.predict_server import serving, settings_of
from tests.services.waiting import until
from tests.tables.pushed_view import CARDS, PROJECT, TARGET, at, differences, offer, row, source, stored

Send = Callable[..., None]
RECEIVED = at(10)


class Cards:
    """The view's table, watermark and rows."""

    def __init__(self, folder: Path, redis_url: str, state: StateDatabase) -> None:
        self.folder, self.redis_url, self.state = folder, redis_url, state
        self.data = folder / "data"
        self.store = SyncOnlineStore(connect(redis_url), PROJECT)
        self.views = [(CARDS, source(self.data))]

    def materialize(self, end: datetime) -> None:
        windows = plan_windows(self.state, PROJECT, self.views, end=end, stored=self.store.stored_views([CARDS]))
        materialize.run(windows, OnlineProject(PROJECT, self.store, self.state), clock=lambda: end + timedelta(days=1))

    def differences(self) -> int:
        (found,) = verify.run(self.views, OnlineProject(PROJECT, self.store, self.state))
        assert found.watermark
        return found.differences

    def holds(self, customer: int) -> bool:
        key = entity_key(PROJECT, {"customer": ("Int64", customer), "shop": ("String", "A")})
        return bool(self.store.client.exists(key))


@pytest.fixture
def cards(tmp_path: Path, redis_url: str) -> Iterator[Cards]:
    with closing(StateDatabase(f"sqlite:///{tmp_path / 'state.db'}")) as state:
        yield Cards(tmp_path, redis_url, state)


def by_stream(cards: Cards, *rows: dict) -> None:
    one = consumer(cards.data, cards.redis_url)
    one.clock = lambda: RECEIVED
    for each in rows:
        add(one, each)
    assert once(one).rows == len(rows)


def by_push(cards: Cards, *rows: dict) -> None:
    reader, now = PushedRows(PROJECT, TARGET), to_micros(RECEIVED)
    done = push.run(PROJECT, TARGET, reader.batch([reader.parse(rows)], now), cards.data, cards.store, now)
    assert done.refusal is None


def by_http(cards: Cards, *rows: dict) -> None:
    offer(cards.redis_url)
    folder = cards.folder / "server"
    (folder).mkdir()
    (folder / "data").symlink_to(cards.data)
    cards.data.mkdir()
    with serving(settings_of(folder, cards.redis_url, push_project=PROJECT)) as live:
        live.clock.now = to_micros(RECEIVED)
        answer = live.client.post("/v1/feature-views/cards/push", json={"rows": list(rows)})
    assert (answer.status_code, answer.json()["waiting"]) == (202, 4)


@pytest.mark.parametrize("send", [by_stream, by_push, by_http])
def test_rows_of_the_future_come_online_when_their_time_has_come(cards: Cards, send: Send):
    """Each becomes visible by the first run whose end has come to its event and created time, and none before."""
    send(
        cards,
        row(1, amount=1),
        row(1, minutes=30, amount=2),
        row(2, minutes=0, created_timestamp=at(40).isoformat()),
        row(3, minutes=5),
        row(3, minutes=50, gone=True),
        row(4, minutes=30),
    )
    assert len(stored(cards.data)) == 6, "the table has all"
    assert differences(cards.redis_url, cards.data, to_micros(RECEIVED)) == []
    seen = {}
    for minute in (20, 29, 30, 39, 40, 60):
        cards.materialize(at(minute))
        assert cards.differences() == 0
        assert differences(cards.redis_url, cards.data, to_micros(at(minute))) == []
        seen[minute] = [customer for customer in (1, 2, 3, 4) if cards.holds(customer)]
    assert seen == {20: [1, 3], 29: [1, 3], 30: [1, 3, 4], 39: [1, 3, 4], 40: [1, 2, 3, 4], 60: [1, 2, 3, 4]}


def events(chance: random.Random, count: int) -> list[dict]:
    """Of 12 customers: late and early rows, corrections, deletions, rows that are known, or true, only tomorrow."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    made = []
    for number in range(count):
        event, known = at(chance.randrange(-600, 600)), at(chance.randrange(0, 2_000) / 7)
        if chance.random() < 0.1:
            event = known = tomorrow + timedelta(seconds=number)
        elif chance.random() < 0.1:
            known = tomorrow + timedelta(seconds=number)
        times = {"event_timestamp": event.isoformat(), "created_timestamp": max(event, known).isoformat()}
        made.append(row(chance.randrange(12), amount=number, gone=chance.random() < 0.1, **times))
    return made


@pytest.mark.timeout(900)
def test_killed_consumers_late_events_and_repeats_leave_no_difference(cards: Cards):
    """Two processes consume while one after the other is killed, and materializations run between the kills."""
    chance = random.Random(11)
    sent = events(chance, 400)
    queue = sent + chance.sample(sent, 100)
    chance.shuffle(queue)
    writer = consumer(cards.data, cards.redis_url)
    writer.entries.open()
    cards.data.mkdir()
    add_entries(writer, queue[:5])
    with spawner("tests.online.push.consumers", "serve") as spawn:
        start = partial(spawn, str(cards.data), cards.redis_url)
        running = [start(), start()]
        until(lambda: stored_rows(cards) > 0)
        for kill in range(10):
            add_entries(writer, queue[5 + kill * 50 : 5 + (kill + 1) * 50])
            time.sleep(chance.random() * 0.15)
            os.kill(running[kill % 2], signal.SIGKILL)
            running[kill % 2] = start()
            if kill % 3 == 2:
                cards.materialize(datetime.now(UTC))
        until(lambda: writer.entries.status().length == 0)
        for process in running:
            os.kill(process, signal.SIGTERM)
        until(lambda: not any(map(lives, running)))
    assert writer.entries.status().dead == 0
    assert {one.values[0] for one in stored(cards.data)} == set(range(len(sent)))
    for end in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=2)):
        cards.materialize(end)
        assert cards.differences() == 0
        assert differences(cards.redis_url, cards.data, to_micros(end)) == []


def add_entries(writer: StreamConsumer, rows: list[dict]) -> None:
    """In entries of a few rows each."""
    for place in range(0, len(rows), 3):
        writer.entries.add("cards", json.dumps(rows[place : place + 3]).encode())


def stored_rows(cards: Cards) -> int:
    return len(list(cards.data.glob("cards/*.parquet")))
