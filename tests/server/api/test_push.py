"""The push route on a real server, a real Valkey and real files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.catalog import catalog_key
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode
from skewless.contract.storage.part_files import PREFIX
from skewless.contract.timestamps import to_micros
from skewless.online.store import embedded_valkey
from tests.services.predict_server import Live, serving, settings_of
from tests.services.waiting import until
from tests.tables.pushed_view import CARDS, PROJECT, TARGET, at, differences, offer, row, stored

NOW = to_micros(at(10))
PATH = "/v1/feature-views/cards/push"


@contextmanager
def taking_pushes(state: Path, redis_url: str, **given: Any) -> Iterator[Live]:
    offer(redis_url)
    with serving(settings_of(state, redis_url, push_project=PROJECT, **given)) as server:
        server.clock.now = NOW
        yield server


@pytest.fixture
def live(state: Path, redis_url: str) -> Iterator[Live]:
    with taking_pushes(state, redis_url) as server:
        yield server


@pytest.fixture
def steady(state: Path, redis_url: str) -> Iterator[Live]:
    """A server that looks views up once a minute."""
    with taking_pushes(state, redis_url, models_refresh_s=60) as server:
        yield server


def push(live: Live, *rows: Any, view: str = "cards") -> httpx.Response:
    return live.client.post(f"/v1/feature-views/{view}/push", json={"rows": list(rows)})


def data(live: Live) -> Path:
    return live.settings.folders.data


def test_rows_are_on_both_sides_when_it_answers(live: Live):
    answer = push(live, row(1), row(2, minutes=1, note=None))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert answer.headers["x-request-id"] == body.pop("request_id")
    assert body == {"view": "cards", "stored": 2, "online": 2, "waiting": 0}
    assert [one.created for one in stored(data(live))] == [NOW, NOW]
    assert differences(live.settings.redis_url, data(live), NOW) == []


def test_a_repeated_push_is_harmless_and_the_newest_wins(live: Live):
    known = {"created_timestamp": at(5).isoformat()}
    for one in (row(1, minutes=2, amount=2, **known), row(1, minutes=1, amount=1, **known)) * 2:
        assert push(live, one).status_code == 200
    assert differences(live.settings.redis_url, data(live), NOW) == []


def test_a_row_from_the_future_waits_and_the_answer_says_so(live: Live):
    answer = push(live, row(1), row(1, minutes=11, amount=9))
    assert answer.status_code == 202
    body = answer.json()
    assert (body["stored"], body["online"], body["waiting"]) == (2, 1, 1)
    assert "materialize" in body["detail"]
    assert differences(live.settings.redis_url, data(live), NOW) == []


def test_rows_vanish_by_themselves_where_the_server_is_to_remove_them(live: Live):
    """Two minutes of ttl and a day of grace, twice."""
    offer(
        live.settings.redis_url,
        msgspec.structs.replace(TARGET, view=msgspec.structs.replace(CARDS, ttl_us=120_000_000)),
    )
    ages = {"gone": 2 * 1440 + 3, "going": 2 * 1440 + 2 - 2 / 60, "new": 0}
    with Redis.from_url(live.settings.redis_url) as client:
        client.hset(catalog_key(PROJECT), EXPIRY, ExpiryMode.SERVER.encode())
        rows = [row(number, minutes=10 - age) for number, age in enumerate(ages.values())]
        assert push(live, *rows).json()["online"] == 3
        assert client.dbsize() == 3, "of the catalog, the one that goes and the one that stays"
        until(lambda: client.dbsize() == 2)
        (kept,) = [key for key in client.scan_iter() if key != catalog_key(PROJECT)]
        (lives,) = client.execute_command("HPTTL", kept, "FIELDS", 1, "cards")
        assert lives == pytest.approx((2 * 1440 + 2) * 60_000, abs=60_000)
    assert len(stored(data(live))) == 3, "in the table they are for good"


def test_bad_rows_are_pointed_at_and_nothing_is_stored(live: Live):
    answer = push(live, row(1), row(2, amount="x", count=None) | {"more": 1}, row(None))
    assert answer.status_code == 422
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in problem["errors"]] == ["/rows/1/amount", "/rows/1/more", "/rows/2/customer"]
    assert not data(live).exists()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 422, "must be an object"),
        (b'{"rows": []}', 422, "1 to 10000"),
        (b'{"row": []}', 422, "/row: is unknown"),
        (b'{"rows": "x"}', 422, "must be an array"),
    ],
)
def test_a_body_that_is_no_push_is_refused(live: Live, body: bytes, status: int, told: str):
    answer = live.client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"rows": [row(1), row(2, minutes=1, note=None)]},
        {"rows": [row(1, minutes=99)]},
        {"rows": [row(1, amount="x"), row(None)]},
        {"rows": []},
        {"row": 1},
        [],
    ],
)
def test_the_short_way_answers_what_asgi_answers(steady: Live, shortcuts: list[str], body: object):
    """The first push looks the view up, and a header that comes twice sends a request the long way."""
    assert push(steady, row(7)).status_code == 200
    headers = {"Content-Type": "application/json", "X-Request-ID": "same"}
    short = steady.client.post(PATH, json=body, headers=headers)
    assert shortcuts == ["same"]
    long = steady.client.post(PATH, json=body, headers=[*headers.items(), ("X-Twice", "1"), ("X-Twice", "2")])
    assert shortcuts == ["same"]
    assert (short.status_code, short.json()) == (long.status_code, long.json())
    told, others = ({k: v for k, v in one.headers.items() if k != "date"} for one in (short, long))
    assert told == others
    status = str(short.status_code)
    view = steady.metric(f'skewless_pushes_total{{status="{status}",view="cards"}}')
    assert view == 2 + (status == "200"), "each is counted"


def test_the_short_way_tells_of_a_table_that_takes_no_rows(steady: Live, shortcuts: list[str]):
    assert push(steady, row(1)).status_code == 200
    table = data(steady) / "cards"
    table.rename(table.with_name("kept"))
    table.write_text("in the way")
    answer = push(steady, row(1))
    assert (answer.status_code, len(shortcuts)) == (503, 1)
    assert answer.headers["content-type"] == "application/problem+json"
    table.unlink()
    assert push(steady, row(1)).status_code == 200


def test_an_unknown_view_and_another_method(live: Live):
    answer = push(live, row(), view="nobody")
    assert answer.status_code == 404
    assert f"project {PROJECT!r} has no feature view 'nobody'" in answer.json()["detail"]
    assert "SKEWLESS_PUSH_PROJECT" in answer.json()["detail"]
    assert "skewless apply" in answer.json()["detail"]
    assert live.client.get(PATH).status_code == 405


def test_a_view_that_shares_its_table_is_refused(live: Live):
    offer(live.settings.redis_url, msgspec.structs.replace(TARGET, shared_with=("other",)))
    assert push(live, row()).status_code == 409


def test_without_the_setting_nothing_is_taken(state: Path, redis_url: str):
    offer(redis_url)
    with serving(settings_of(state, redis_url)) as live:
        answer = push(live, row())
        assert answer.status_code == 403
        assert "SKEWLESS_PUSH_PROJECT" in answer.json()["detail"]
        assert not data(live).exists()


def test_a_table_that_takes_no_rows_is_503_and_nothing_is_online(live: Live):
    data(live).parent.mkdir(exist_ok=True)
    data(live).write_text("in the way")
    answer = push(live, row())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    with Redis.from_url(live.settings.redis_url) as client:
        assert client.dbsize() == 1, "the catalog"


def test_many_writers_share_parts_and_lose_nothing(live: Live):
    writers, each = 16, 20

    def write(number: int) -> None:
        with httpx.Client(base_url=str(live.client.base_url)) as client:
            for turn in range(each):
                answer = client.post(PATH, json={"rows": [row(number, minutes=turn / 60, amount=turn)]})
                assert answer.status_code == 200

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    held = stored(data(live))
    assert len({(one.key, one.event) for one in held}) == len(held) == writers * each
    assert differences(live.settings.redis_url, data(live), NOW) == []
    parts = list(data(live).glob(f"cards/{PREFIX}*.parquet"))
    assert len(parts) == live.metric("skewless_push_commits_total") < writers * each / 2
    assert live.metric('skewless_pushed_rows_total{view="cards"}') == writers * each
    assert live.metric('skewless_pushes_total{status="200",view="cards"}') == writers * each


def test_one_writers_bad_row_does_not_touch_the_others(live: Live):
    statuses = []

    def write(one: dict[str, Any]) -> None:
        with httpx.Client(base_url=str(live.client.base_url)) as client:
            statuses.append(client.post(PATH, json={"rows": [one]}).status_code)

    rows = [row(number) if number % 2 else row(number, amount="x") for number in range(8)]
    threads = [threading.Thread(target=write, args=(one,)) for one in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200] * 4 + [422] * 4
    assert [one.key[0] for one in stored(data(live))] == [1, 3, 5, 7]


def test_when_the_store_is_away_the_table_takes_rows_and_a_repeat_brings_them(state: Path, tmp_path: Path):
    folders = StateFolders(tmp_path / "server")
    with embedded_valkey.running(folders) as first:
        offer(first.url)
        with serving(settings_of(state, first.url, push_project=PROJECT, push_timeout_s=0.5)) as live:
            live.clock.now = NOW
            assert push(live, row(1)).status_code == 200
            embedded_valkey.stop(folders)
            away = push(live, row(2), row(3, minutes=99))
            assert away.status_code == 202, away.text
            assert (away.json()["stored"], away.json()["online"], away.json()["waiting"]) == (2, 0, 1)
            assert "push them again" in away.json()["detail"]
            assert len(stored(data(live))) == 3
            with embedded_valkey.running(folders):
                offer(first.url)
                assert push(live, row(1), row(2)).status_code == 200
                assert differences(first.url, data(live), NOW) == []
