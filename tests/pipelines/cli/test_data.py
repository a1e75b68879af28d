"""What who types `skewless materialize` and the like is told: wrong words, second runs, stores that are away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.pipelines.cli.conftest import Shop, Skewless

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
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
