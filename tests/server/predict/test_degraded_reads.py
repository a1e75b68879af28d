"""Rows that cannot be read: refused with a pointer to each, or not read where the model's policy says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.storage.catalog import catalog_key
from skewless.contract.storage.entity_key import EntityKeyEncoder
from tests.models import tiny
from tests.services.predict_server import ROW, Live, serving, settings_of
from tests.services.served_log_rows import logged
from tests.services.waiting import until

N1 = EntityKeyEncoder("tests", ["tailnum"], ["String"]).encode(["N1"])
NOBODY = {"origin": "?", "tailnum": "?", "hour": 8}
OTHER = tiny.PlanView("delays", "delays", tiny.DELAYS.join_keys, tiny.DELAYS.fields[:1], 0, "event_timestamp")


@pytest.fixture
def redis(stored: str) -> Iterator[Redis]:
    with Redis.from_url(stored) as client:
        yield client


@pytest.fixture
def lenient(state: Path, stored: str) -> Iterator[Live]:
    """As `live`, with defaults for what is not read."""
    tiny.roll_out(state / "models", on_store_failure="defaults")
    with serving(settings_of(state, stored, allow_as_of=True)) as server:
        yield server


def cut(redis: Redis) -> str:
    redis.hset(N1, "planes", redis.hget(N1, "planes")[:-1])
    return "a row of schema 1f1ba39f is not 38 bytes long"


def shorter_than_a_row(redis: Redis) -> str:
    redis.hset(N1, "planes", b"short")
    return "a row is shorter than its header"


def of_a_schema_that_nobody_lists(redis: Redis) -> str:
    redis.hset(N1, "planes", b"\0" * 40)
    return "its schema 00000000 is listed nowhere"


def of_another_kind(redis: Redis) -> str:
    redis.delete(N1)
    redis.set(N1, "text")
    return "its key holds something else than a hash"


BROKEN = [cut, shorter_than_a_row, of_a_schema_that_nobody_lists, of_another_kind]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("members", [{}, {"explain": "features"}])
def test_a_row_that_cannot_be_read_is_pointed_at(live: Live, redis: Redis, broken, members):
    healthy = {**ROW, "tailnum": "N2"}
    before = live.score(healthy)["scores"]
    reason = broken(redis)
    answer = live.predict(healthy, ROW, NOBODY, ROW, **members)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    told = answer.json()
    assert told["type"] == "urn:skewless:problem:corrupt-online-row"
    assert f"feature view 'planes' of entity tailnum='N1' is corrupt: {reason}" in told["detail"]
    assert [error["pointer"] for error in told["errors"]] == ["/rows/1", "/rows/3"]
    assert all("tailnum='N1'" in error["detail"] for error in told["errors"])
    assert live.metric("skewless_store_failures_total") == 1
    assert live.score(healthy)["scores"] == before, "others are answered"


@pytest.mark.parametrize("broken", BROKEN)
def test_or_is_not_read_for_its_view_and_entity_alone(lenient: Live, redis: Redis, broken):
    whole = lenient.score(ROW, NOBODY)["scores"]
    defaults = lenient.score({**ROW, "tailnum": "?"})["scores"]
    broken(redis)
    assert lenient.score(ROW, NOBODY)["scores"] == [*defaults, whole[1]]
    features = lenient.explain(ROW)
    told = {"value": None, "status": "NOT_READ", "event_timestamp": None, "age_seconds": None}
    assert features["planes__age"] == told
    assert features["delays__mean"]["status"] == "PRESENT"
    until(lambda: lenient.metric("skewless_served_log_written_rows_total") == 6)
    rows = logged(lenient.settings.served_log)
    statuses = sorted((row["entity:tailnum"], row["planes:status"], row["delays:status"]) for row in rows)
    assert statuses == [("?", 2, 0), ("?", 2, 2), ("?", 2, 2), ("N1", 0, 0), ("N1", 4, 0), ("N1", 4, 0)]
    ages = {row["planes:status"]: row["model_input"][2] for row in rows}
    assert (ages[0], ages[4]) == (12.5, -1.0), "the plan's default"
    assert {row["planes:event_timestamp"] for row in rows if row["planes:status"] == 4} == {None}
    assert lenient.metric("skewless_store_failures_total") == 2


def test_a_schema_is_looked_up_once_and_believed_only_if_it_parses(live: Live, redis: Redis):
    tiny.write_row(live.settings.redis_url, OTHER, "LGA", {"mean": 1.0}, event=0)
    asked = {**ROW, "origin": "LGA"}
    answer = live.predict(asked)
    assert answer.status_code == 502
    assert "origin='LGA'" in answer.json()["detail"]
    assert "is listed nowhere" in answer.json()["detail"]
    tiny.write_catalog(live.settings.redis_url)
    schema = next(f for f in redis.hkeys(catalog_key("tests")) if f.startswith(b"schema:"))
    redis.hset(catalog_key("tests"), schema, "no JSON")
    assert live.predict(ROW).status_code == 200
    assert live.predict(asked).status_code == 502
    redis.hset(catalog_key("tests"), mapping=tiny.schema_entry(OTHER))
    assert live.score(asked, as_of="1970-01-01T00:00:01Z")


def test_a_key_that_this_user_may_not_read_is_the_stores_fault(live: Live, redis: Redis):
    redis.execute_command("ACL", "SETUSER", "default", "resetkeys", "~*[^1]*tests", "~skewless:*")
    try:
        redis.execute_command("ACL", "SETUSER", "default", "-hmget")
        answer = live.predict(ROW)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:skewless:problem:online-store-unavailable")
        assert "NOPERM" in answer.json()["detail"]
        assert "User default has no permissions" not in answer.text, "a foreign text"
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+hmget", "~*")
