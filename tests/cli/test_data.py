"""What who types `skewless materialize` and the like is told: wrong words, second runs, stores that are away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.cli.shop_project import Shop, Skewless

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
CARD = {"customer": 1, "shop": "A", "amount": 1.0, "event_timestamp": NOON, "created_timestamp": NOON}
VERBS = ["materialize", "verify", "expire", "quality", "compact"]


def person(customer: int, age: int, *, event: datetime = NOON, created: datetime = NOON) -> dict:
    return {"customer": customer, "age": age, "event_timestamp": event, "created_timestamp": created}


@pytest.fixture(autouse=True)
def people(market: Shop) -> None:
    market.write("people", person(1, 30), person(2, 40))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("before", [[], ["--view", "people"]], ids=["alone", "after one that there is"])
def test_an_unknown_view_is_named_and_nothing_is_done(market: Shop, skewless: Skewless, verb: str, before: list[str]):
    told = skewless(verb, *before, "--view", "card")
    expected = "error: there is no online feature view 'card'; did you mean 'cards'? there are cards, city, people\n"
    assert (told.status, told.out, told.err) == (2, "", expected)
    assert market.redis.dbsize() == 0
    assert market.work.state.runs("shop") == []


def test_a_view_that_is_not_online_is_none_to_materialize(skewless: Skewless):
    told = skewless("materialize", "--view", "archive")
    assert (told.status, told.err) == (
        2,
        "error: there is no online feature view 'archive'; there are cards, city, people\n",
    )


def test_a_view_that_is_named_twice_is_materialized_once(market: Shop, skewless: Skewless):
    told = skewless("materialize", "--view", "people", "--view", "people", "--end", (NOON + timedelta(1)).isoformat())
    assert (told.status, "2 rows written in 1 views" in told.out) == (0, True), told
    assert len(market.work.state.runs("shop")) == 1


def test_a_run_that_has_nothing_to_do_says_why(skewless: Skewless):
    end = (NOON + timedelta(hours=1)).isoformat()
    first, second = (skewless("materialize", "--view", "people", "--end", end) for _ in range(2))
    assert "2 rows written in 1 views" in first.out
    assert "1 views are" not in first.out
    assert (
        "0 rows written in 0 views, 0 wait for their time; 1 views are materialized up to then, or later" in second.out
    )


def test_an_end_that_lies_ahead_leaves_the_watermark_at_the_clock(market: Shop, skewless: Skewless):
    """Else hourly runs would do nothing until then, and nobody would be told."""
    told = skewless("materialize", "--view", "people", "--end", "2999-01-01")
    assert (told.status, "2 rows written" in told.out) == (0, True)
    now = datetime.now(UTC)
    watermark = market.work.state.watermark("shop", "people")
    assert watermark is not None
    assert timedelta(0) < now - watermark < timedelta(minutes=1)
    market.write("people", person(1, 31, event=now, created=now), part="part-1")
    assert "1 rows written" in skewless("materialize", "--view", "people").out
    told = skewless("verify", "--view", "people")
    assert (told.status, "no differences" in told.out) == (0, True)


def test_a_window_that_leaves_a_gap_says_so_before_it_is_run(market: Shop, skewless: Skewless):
    after = ("--view", "people", "--start", "2013-10-02", "--end", "2013-10-03")
    assert skewless("materialize", *after, "--dry-run").out.startswith(
        "people: (2013-10-02T00:00:00+00:00, 2013-10-03T00:00:00+00:00] (it leaves a gap: the watermark stays): 0 rows"
    )
    assert skewless("materialize", *after).status == 0
    assert market.work.state.watermark("shop", "people") is None


def test_without_definitions_a_run_says_what_is_missing(market: Shop, skewless: Skewless):
    (market.state / "registry.db").unlink()
    told = skewless("materialize")
    assert (told.status, "warning: there are no online feature views; run `skewless apply`" in told.out) == (0, True)


@pytest.mark.parametrize(
    "words",
    [["--full", "--start", "2013-01-01"], ["--start", "2013-02-01", "--end", "2013-01-01"], ["--end", "yesterday"]],
)
def test_windows_that_are_none_are_refused(market: Shop, skewless: Skewless, words: list[str]):
    told = skewless("materialize", *words)
    assert (told.status, told.out) == (2, "")
    assert "Invalid value" in told.err or "--end (2013-01-01T00:00:00+00:00) is not after --start (2013" in told.err
    assert market.redis.dbsize() == 0


def test_what_is_planned_from_the_beginning_changes_nothing(market: Shop, skewless: Skewless):
    told = skewless("materialize", "--full", "--dry-run", "--view", "people", "--end", "2013-10-02T00:00:00")
    assert told.out == "people: (the beginning, 2013-10-02T00:00:00+00:00]: 2 rows in 1 files to look at\n"
    assert (market.redis.dbsize(), market.work.state.runs("shop")) == (0, [])


def test_a_view_without_keys_and_one_without_rows(market: Shop, skewless: Skewless):
    market.write("city", {"mean": 0.5, "event_timestamp": NOON, "created_timestamp": NOON})
    market.write("cards", CARD)
    cards = market.data / "cards" / "part-0.parquet"
    pq.write_table(pq.read_table(cards).slice(0, 0), cards)
    assert "3 rows written in 3 views" in skewless("materialize", "--end", "2013-10-02").out
    told = skewless("verify")
    lines = told.out.splitlines()[1:]
    assert told.status == 0, told
    assert [line.split(" as of ")[0] for line in lines if "no differences" in line] == ["cards", "city", "people"]
    market.redis.flushall()
    assert skewless("verify").status == 1
    told = skewless("verify", "--repair")
    assert (told.status, skewless("verify").status) == (1, 0), told


def test_a_project_chooses_how_rows_go(market: Shop, skewless: Skewless):
    skewless("materialize", "--view", "people", "--end", (NOON + timedelta(1)).isoformat())
    told = skewless("expire", "--by", "server")
    assert (told.status, "0 rows removed from 1 views, by server" in told.out) == (0, True), told
    assert "warning: entities with deadlines lose their compact encoding" in " ".join(told.out.split())
    assert "by server" in skewless("expire").out
    told = skewless("expire", "--by", "sweep")
    assert (told.status, "by sweep" in told.out, "warning" in told.out) == (0, True, False), told
    assert {market.redis.object("encoding", key) for key in market.redis.scan_iter()} >= {b"listpack"}


@pytest.mark.parametrize("words", [["--view", "people"], ["--end", "2013-10-01"]])
def test_a_choice_is_the_whole_projects(market: Shop, skewless: Skewless, words: list[str]):
    told = skewless("expire", "--by", "server", *words)
    assert (told.status, "leave out --view and --end" in " ".join(told.err.replace("│", "").split())) == (2, True), told
    assert market.redis.dbsize() == 0


def test_every_run_can_be_looked_up(market: Shop, skewless: Skewless):
    assert skewless("runs").out == "nothing was materialized yet\n"
    assert skewless("materialize", "--view", "people", "--end", (NOON + timedelta(1)).isoformat()).status == 0
    market.write("people", person(1, 31, created=NOON + timedelta(1.5)), part="late")
    assert skewless("materialize", "--view", "people", "--end", (NOON + timedelta(2)).isoformat()).status == 0
    (market.data / "people" / "part-0.parquet").write_bytes(b"no Parquet")
    assert skewless("materialize", "--view", "people", "--full", "--end", (NOON + timedelta(2)).isoformat()).status == 2
    for view in ("people", "people", "cards"):
        noted = {"window_start": None, "window_end": NOON, "started_at": NOON + timedelta(3)}
        market.work.state.run_started("shop", view, "materialize", **noted)
    cards, running, killed, last, second, first = skewless("runs").out.splitlines()
    assert [one.partition("+00:00: ")[2].partition(";")[0] for one in (cards, running, killed)] == [
        "running",
        "running",
        "cut short",
    ]
    assert first[21:].startswith("materialize people, the beginning to 2013-10-02T12:00:00+00:00: done in ")
    assert first.endswith(" s; 2 read, 2 written, 0 older, 0 held back")
    assert "2013-10-02T12:00:00+00:00 to 2013-10-03T12:00:00+00:00: done in " in second
    assert second.endswith(" s; 1 read, 1 written, 0 older, 0 held back")
    assert "failed: " in last
    told = msgspec.json.decode(skewless("runs", "--json", "--view", "people", "--limit", "4").out)
    assert [run["status"] for run in told] == ["running", "running", "failed", "done"]
    assert told[3]["counts"] == {"read": 1, "written": 1, "skipped_older": 0, "held_back": 0}
    assert skewless("runs", "--view", "city").out == "nothing was materialized yet\n"
    assert skewless("runs", "--view", "card").status == 2
