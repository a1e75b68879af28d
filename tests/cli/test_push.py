"""What who types `skewless push`, `stream` and `erase` is told."""

from __future__ import annotations

import json
import random
import resource
import threading
import time
from datetime import UTC, datetime

import pytest
import stamina.instrumentation

from skewless.sdk.session import ProjectSession
from tests.cli.shop_project import Shop, Skewless

UNKNOWN = "error: there is no online feature view 'peopel'; did you mean 'people'? there are cards, city, people\n"
NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


def person(customer: int, age: int = 30) -> dict:
    return {"customer": customer, "age": age, "event_timestamp": NOON, "created_timestamp": NOON}


@pytest.fixture
def people(market: Shop) -> None:
    for number in (1, 2):
        market.write("people", person(number), part=f"part-{number}")


def test_a_push_to_an_unknown_view_is_refused(market: Shop, skewless: Skewless):
    told = skewless("push", "peopel", "/dev/stdin", "--format", "json")
    assert (told.status, told.out, told.err) == (2, "", UNKNOWN)
    assert market.redis.dbsize() == 0
    assert not market.data.exists()


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_a_push_of_a_file_that_is_none_is_refused(skewless: Skewless, market: Shop, name: str):
    told = skewless("push", "people", name, "--format", "json")
    assert (told.status, "Traceback" in told.err, "Invalid value" in told.err) == (2, False, True)


def test_who_is_named_by_no_join_key_is_not_erased_with_a_receipt(market: Shop, people: None, skewless: Skewless):
    """A typing error would else be told as an erasure that found nothing."""
    for words in ([], ["--dry-run"]):
        told = skewless("erase", "--entity", "custmer=1", *words)
        expected = (
            "'custmer' does not name a subject to erase: no feature view has that join key; did you mean customer?"
        )
        assert (told.status, told.out, expected in told.err) == (2, "", True), told
    told = skewless("erase", "--entity", "customer=abc")
    assert "'customer=abc' does not name a subject to erase: the join key is Int64, and 'abc' is none" in told.err
    assert told.status == 2
    assert not (market.state / "erasures").exists()
    assert skewless("erase", "--entity", "customer=9", "--dry-run").out == "nothing is about this subject\n"


def test_nobody_is_erased_without_waiting_and_the_receipt_says_so(market: Shop, people: None, skewless: Skewless):
    told = skewless("erase", "--entity", "customer=9", "--settle", "1000")
    assert (told.status, "0 rows of 0 files, 0 entities online" in told.out) == (0, True)
    (path,) = (market.state / "erasures").iterdir()
    receipt = json.loads(path.read_text())
    assert (receipt["status"], receipt["files"]) == ("done", [])
    assert any("after the last search" in one for one in receipt["not_reached"])


def test_a_full_disk_stops_an_erasure_that_is_taken_up_later(market: Shop, people: None, skewless: Skewless):
    """A real limit of this process: no file of more than 64 KiB."""
    chance = random.Random(1)
    market.write("people", *[person(number, chance.randrange(2**62)) for number in range(20_000)], part="large")
    skewless("materialize", "--view", "people", "--end", "2013-10-02")
    before = {path: path.read_bytes() for path in market.data.rglob("*.parquet")}
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, most))
    try:
        told = skewless("erase", "--entity", "customer=1", "--settle", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert (told.status, told.out) == (2, ""), told
    assert "large.parquet could not be rewritten without the subject (File too large) and is unchanged" in told.err
    large = market.data / "people" / "large.parquet"
    assert large.read_bytes() == before[large]
    assert not list(market.data.rglob("*.erasing"))
    assert skewless("erase", "--entity", "customer=1", "--settle", "0").status == 0
    (path,) = (market.state / "erasures").iterdir()
    assert json.loads(path.read_text())["status"] == "done"
    assert skewless("verify", "--view", "people").status == 0


def test_status_says_whether_the_store_answers(market: Shop, skewless: Skewless, monkeypatch: pytest.MonkeyPatch):
    assert "(answers)" in skewless("status").out
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "redis://me:secret@127.0.0.1:1/0")
    told = skewless("status")
    assert (told.status, "redis://me:***@127.0.0.1:1/0 (not to be used: " in told.out) == (0, True), told
    assert "secret" not in told.out


def test_a_consumer_says_once_for_what_it_waits(market: Shop, skewless: Skewless, monkeypatch: pytest.MonkeyPatch):
    """A file lies where the data folder is to be, and somebody takes it away after reading that."""
    waits, say = threading.Event(), ProjectSession.say

    def heard(session: ProjectSession, text: str) -> None:
        say(session, text)
        if text.startswith("waiting"):
            waits.set()

    def take_away() -> None:
        waits.wait(60)
        time.sleep(1)  # in which it tries again, and may say so again
        market.data.unlink()

    monkeypatch.setattr(ProjectSession, "say", heard)
    entry = {"customer": 1, "age": 3, "event_timestamp": "2013-10-01T12:00:00Z"}
    market.redis.xadd("{skewless:stream:shop}", {"view": "people", "rows": json.dumps(entry)})
    market.data.write_text("in the way")
    reader = threading.Thread(target=take_away)
    reader.start()
    try:
        told = skewless("stream", "--once")
    finally:
        reader.join()
        stamina.instrumentation.set_on_retry_hooks(None)
    assert told.status == 0
    assert told.out.count("waiting: the table of feature view 'people' cannot be written (Not a directory)") == 1
    assert told.out.count("waiting") == 1
    assert "1 rows of 1 entries pushed, 0 moved to the dead letters" in told.out


AWAY = ["materialize", "verify", "expire", "stream --once", "stream --status", "erase --entity customer=1", "sweep"]


@pytest.mark.parametrize("verb", AWAY)
def test_a_store_that_is_away_is_told_by_every_verb(
    market: Shop, people: None, skewless: Skewless, monkeypatch: pytest.MonkeyPatch, verb: str
):
    monkeypatch.setenv("SKEWLESS_REDIS_URL", "redis://127.0.0.1:1/0")
    told = skewless(*verb.split())
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith("error: the online store at redis://127.0.0.1:1/0 cannot be used: ")
    assert not (market.state / "erasures").exists()
