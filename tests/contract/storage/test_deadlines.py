"""Until when a server that removes rows by itself keeps them: the scripts give the deadlines that the definition tells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from skewless.contract.admission import AdmissionRule
from skewless.contract.plan import Field
from skewless.contract.storage.newest_wins import DEADLINES, LONGEST_MS, SCRIPT, replaces
from skewless.contract.storage.write_policy import horizon_argument
from tests.oracles import Row, milliseconds_left, packed_row
from tests.strategies import rows

SCHEMA = (Field("s", "String"), Field("i", "Int64"))
EVENTS = st.sampled_from([-(2**63), -1, 0, 1, 2**32, 2**62, 2**63 - 1])
FAR, MINUTE = 3 * 10**14, 60_000
"""Horizons, in milliseconds, lie between the years -7500 and 11500."""
HORIZONS = st.sampled_from([None, b"", b"-100000000", b"-5000000", b"0", b"1000000", b"100000000"])
"""By which the events above are gone, or stay for at least a quarter of an hour."""
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def client(redis_server) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        yield client


def row(event: int, number: int = 0) -> bytes:
    return packed_row(Row((), event, 0, False, ("", number), SCHEMA))


def told(client: Redis, *command: Any) -> Any:
    """What a command answers, and for how long the row lives on, at one instant."""
    pipe = client.pipeline(transaction=True)
    pipe.execute_command(*command)
    pipe.hget("x", "view")
    pipe.execute_command("HPTTL", "x", "FIELDS", 1, "view")
    answer, held, (left,) = pipe.execute()
    return answer, held, left


def write(client: Redis, new: bytes, horizon: bytes | None) -> Any:
    first = [b"view"] if horizon is None else [b"view", horizon]
    return told(client, "EVAL", SCRIPT, 1, "x", *first, new)


@settings(max_examples=150)
@given(st.lists(st.tuples(rows(SCHEMA, EVENTS).map(packed_row), HORIZONS), min_size=1, max_size=6))
def test_each_write_leaves_the_row_and_the_deadline_that_the_definitions_tell(client: Redis, writes):
    client.delete("x")
    held, left = None, None
    for new, horizon in writes:
        wins = replaces(new, held)
        if wins or (new == held and horizon is not None):
            held, left = new, milliseconds_left(new, int(horizon), LONGEST_MS) if horizon else None
        if left == 0:
            held = left = None
        answer, found, lives = write(client, new, horizon)
        assert (answer, found) == (int(wins), held)
        # Of an older write some milliseconds are gone.
        assert lives == -1 if left is None and held else lives == -2 if held is None else left - MINUTE < lives <= left


@settings(max_examples=200)
@given(
    st.integers(-(2**63), 2**63 - 1) | st.integers(-FAR * 1000, FAR * 1000),
    st.integers(-FAR, FAR) | st.none(),
    st.sampled_from([-MINUTE, 0, MINUTE, MINUTE + 1, 10**12, 2**45]),
)
def test_deadlines_are_right_to_the_millisecond(client: Redis, event: int, horizon: int | None, lives: int):
    """For any event time, and horizons at any distance or close by."""
    horizon = max(-FAR, min(FAR, event // 1000 - lives)) if horizon is None else horizon
    left = milliseconds_left(row(event), horizon, LONGEST_MS)
    if not 0 < left < MINUTE:
        client.delete("x")
        _, held, found = write(client, row(event), b"%d" % horizon)
        assert (held is not None) == (left > 0)
        assert found == (left or -2)


@pytest.mark.parametrize(
    ("event", "horizon", "left"),
    [(999, 0, 0), (1000, 0, 1), (-1, -1, 0), (-1, -2, 1), (2**63 - 1, 0, LONGEST_MS), (-(2**63), 0, 0), (0, -5, 5)],
)
def test_a_row_lives_for_as_long_as_it_lies_above_the_horizon(event: int, horizon: int, left: int):
    assert milliseconds_left(row(event), horizon, LONGEST_MS) == left


def test_a_row_that_is_written_by_one_who_knows_no_horizon_has_no_deadline(client: Redis):
    client.delete("x")
    assert write(client, row(0), b"-1000000") == (1, row(0), 1_000_000)
    assert write(client, row(1), None) == (1, row(1), -1)


def test_a_row_beyond_the_horizon_takes_the_older_one_with_it(client: Redis):
    client.delete("x")
    write(client, row(0), None)
    assert write(client, row(1), b"1000000") == (1, None, -2)
    assert not client.exists("x")


def test_a_write_without_a_horizon_asks_for_none_of_these_commands(client: Redis):
    """So it works on every server."""
    client.delete("x")
    client.execute_command("CONFIG", "RESETSTAT")
    write(client, row(0), None)
    assert "cmdstat_hpexpire" not in client.info("commandstats")


def deadlines(client: Redis, horizon: bytes) -> Any:
    return told(client, "EVAL", DEADLINES, 1, "x", b"view", horizon)


def test_a_walk_moves_deadlines_and_takes_them_off(client: Redis):
    client.delete("x")
    write(client, row(0), None)
    assert deadlines(client, b"-1000000") == (None, row(0), 1_000_000)
    assert deadlines(client, b"-2000000") == (None, row(0), 2_000_000)
    assert deadlines(client, b"") == (None, row(0), -1)
    assert deadlines(client, b"0") == (None, None, -2)
    assert deadlines(client, b"-1000000") == (None, None, -2), "it writes nothing"


def test_a_hash_without_deadlines_is_compact_again_and_one_that_has_some_keeps_them(client: Redis):
    client.delete("x")
    client.hset("x", mapping={"view": row(0), "other": row(1), "third": b"noise"})
    compact = client.object("encoding", "x")
    deadlines(client, b"-1000000")
    client.eval(DEADLINES, 1, "x", b"other", b"-1000000")
    assert compact == b"listpack" != client.object("encoding", "x")
    deadlines(client, b"")
    assert client.execute_command("HPTTL", "x", "FIELDS", 2, "view", "other")[0] == -1
    assert client.execute_command("HPTTL", "x", "FIELDS", 1, "other")[0] > 0
    client.eval(DEADLINES, 1, "x", b"other", b"")
    assert client.object("encoding", "x") == compact
    assert client.hgetall("x") == {b"view": row(0), b"other": row(1), b"third": b"noise"}


def test_what_is_no_row_or_no_hash_is_left_alone(client: Redis):
    client.delete("x", "y")
    client.set("y", "text")
    client.hset("x", "view", b"noise")
    for horizon in (b"0", b"-1000000", b""):
        client.eval(DEADLINES, 3, "x", "y", "z", b"view", horizon)
        assert client.hget("x", "view") == b"noise"
        assert client.get("y") == b"text"
    assert not client.exists("z")


@pytest.mark.parametrize("ttl", [1, DAY // 24, DAY, 30 * DAY])
@given(st.integers(-(10**15), 10**15), st.integers(0, 10**13), st.data())
def test_a_row_goes_only_when_it_is_removable_as_of_a_watermark_that_lags_less_than_a_grace(ttl, end, kept, data):
    """`kept` microseconds after it was written in a run as of `end`."""
    rule = AdmissionRule(ttl, "event_timestamp")
    event = rule.horizon(end) + kept
    lag = data.draw(st.integers(0, rule.grace_us - 1))
    assert rule.removable(event, end + kept - lag)


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**13))
def test_horizons_are_told_in_milliseconds_and_follow_end_and_ttl(end: int, ttl: int):
    rule = AdmissionRule(ttl, "event_timestamp")
    assert int(horizon_argument(rule, end)) == rule.horizon(end) // 1000
    assert horizon_argument(AdmissionRule(0, "event_timestamp"), end) == b""
    ends = [rule.horizon(end + more) for more in (0, 1, 10**9)]
    assert [later - earlier for earlier, later in pairwise(ends)] == [1, 10**9 - 1]
    assert AdmissionRule(ttl + 1, "event_timestamp").horizon(end) < rule.horizon(end)
