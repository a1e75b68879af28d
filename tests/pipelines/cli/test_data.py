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
