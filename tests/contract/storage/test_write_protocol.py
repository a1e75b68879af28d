"""The write protocol alone: replies are scripted, or worked out from the definitions of what the scripts do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.errors import RemovalUnfinished, RowsLost
from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.storage.catalog import catalog_key, reached_field, removal_field, schema_entry, view_entry
from skewless.contract.storage.completeness import ADVANCE, REMOVING, StoredView, instant
from skewless.contract.storage.expiry_mode import EXPIRY
from skewless.contract.storage.newest_wins import LONGEST_MS, SCRIPT, replaces
from skewless.contract.storage.write_policy import horizon_argument
from skewless.contract.storage.write_protocol import (
    Exchange,
    RedisCommand,
    Result,
    WriteReply,
    introduce,
    prepare,
    push,
    register,
    row_arguments,
    row_calls,
    stored_views,
)
from tests.oracles import merged, milliseconds_left, packed_row
from tests.strategies import MOMENTS, rows

SCHEMA = (Field("mean", "Float32"), Field("gate", "String"))
VIEW = PlanView("delays", "delays@v2", (JoinKey("origin", "origin", "String"),), SCHEMA, 0, "created_timestamp")
DAY = 86_400_000_000
AGING = msgspec.structs.replace(VIEW, ttl_us=DAY)
CATALOG, FIELD = catalog_key("p"), b"delays@v2"
KEYS = st.binary(min_size=1, max_size=2)
WRITES = st.lists(st.tuples(KEYS, rows(SCHEMA, MOMENTS).map(packed_row)), max_size=30)


def at(hour: int) -> datetime:
    return datetime(2013, 10, 1, hour, tzinfo=UTC)


class ScriptedRedis:
    """Hashes in a dictionary; scripts do what `replaces` and `milliseconds_left` say. `strings` are keys that are no hashes."""

    def __init__(self, catalog: dict[bytes, bytes], strings: frozenset[bytes] = frozenset()) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = defaultdict(dict, {CATALOG: dict(catalog)})
        self.strings = strings
        self.trips: list[list[RedisCommand]] = []

    def run(self, exchange: Exchange[Result], *, times: int = 1) -> Result:
        """The result of an exchange, each of whose trips is sent so often; the last replies count."""
        try:
            trip = next(exchange)
            while True:
                self.trips.append([*trip])
                for _ in range(times):
                    replies = [self.reply(command) for command in trip]
                trip = exchange.send(replies)
        except StopIteration as end:
            return end.value

    def reply(self, command: RedisCommand) -> object:
        name, *words = command.arguments
        return {"HMGET": self._hmget, "HSET": self._hset, "HSETNX": self._hsetnx, "EVAL": self._eval}[name](*words)

    def _hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        return [self.hashes[key].get(field) for field in fields]

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        self.hashes[key] |= dict(zip(pairs[::2], pairs[1::2], strict=True))
        return 0

    def _hsetnx(self, key: bytes, field: bytes, value: bytes) -> int:
        return int(self.hashes[key].setdefault(field, value) is value)

    def _eval(self, script: str, number: int, *words: bytes) -> object:
        assert script == SCRIPT
        keys, arguments = words[:number], words[number:]
        first, packed = arguments[: len(arguments) - number], arguments[len(arguments) - number :]
        won, strange = 0, []
        for place, (key, row) in enumerate(zip(keys, packed, strict=True), 1):
            if key in self.strings:
                strange.append(place)
                continue
            if replaces(row, self.hashes[key].get(first[0])):
                self.hashes[key][first[0]] = row
                won += 1
            if len(first) > 1 and first[1] and not milliseconds_left(row, int(first[1]), LONGEST_MS):
                del self.hashes[key][first[0]]
        return [won, *strange] if strange else won

    def rows(self) -> dict[bytes, bytes]:
        return {key: fields[FIELD] for key, fields in self.hashes.items() if FIELD in fields}


def slot_of(key: bytes) -> int:
    return crc32(key) % 3


@given(WRITES, st.sampled_from([None, slot_of]), st.integers(1, 3))
def test_a_push_leaves_the_newest_rows_and_a_catalog_that_reads_them(writes, slots, times):
    redis = ScriptedRedis({})
    written = redis.run(push("p", VIEW, writes, 0, slots), times=times)
    assert redis.rows() == merged(writes)
    assert redis.hashes[CATALOG] == schema_entry(VIEW) | view_entry(VIEW)
    assert written.no_hashes == ()
    if times == 1:
        state: dict[bytes, bytes] = {}
        winners = 0
        for key, row in sorted(writes, key=lambda pair: slot_of(pair[0]) if slots else 0):
            if replaces(row, state.get(key)):
                state[key], winners = row, winners + 1
        assert written.won == winners


@given(WRITES, st.sampled_from([None, slot_of]), st.integers(1, 4), st.sampled_from([None, b"", b"7"]))
def test_calls_hold_each_row_once_and_one_slot(writes, slots, most, horizon):
    calls = [*row_calls(VIEW, writes, horizon, slots, most=most)]
    found = []
    for (key, words), keys in calls:
        name, script, number, *rest = words
        assert (name, script, number, key) == ("EVAL", SCRIPT, len(keys), keys[0])
        assert 1 <= number <= most
        assert tuple(rest[:number]) == tuple(keys)
        assert tuple(rest[number:-number]) == row_arguments(VIEW, horizon)
        assert slots is None or len(set(map(slots, keys))) == 1
        found += zip(keys, rest[-number:], strict=True)
    assert sorted(found) == sorted(writes)
    for key in {key for key, _ in writes}:
        assert [row for one, row in found if one == key] == [row for one, row in writes if one == key], "in their order"


@given(WRITES, st.sets(KEYS))
def test_keys_that_are_no_hashes_are_named_and_left_alone(writes, strings):
    redis = ScriptedRedis({}, frozenset(strings))
    written = redis.run(push("p", VIEW, writes, 0))
    assert sorted(written.no_hashes) == sorted(key for key, _ in writes if key in strings)
    assert redis.rows() == merged([pair for pair in writes if pair[0] not in strings])


@given(WRITES, st.booleans(), MOMENTS)
def test_rows_have_a_horizon_where_the_server_removes_them(writes, by_server, now):
    redis = ScriptedRedis({EXPIRY: b"server"} if by_server else {})
    redis.run(push("p", AGING, writes, now))
    horizon = horizon_argument(AGING.rule, now)
    sent = {
        command.arguments[3 + command.arguments[2] : -command.arguments[2]]
        for command in redis.trips[-1]
        if "EVAL" in command.arguments
    }
    assert sent <= {(FIELD, horizon) if by_server else (FIELD,)}
    if by_server:
        assert all(milliseconds_left(row, int(horizon), LONGEST_MS) for row in redis.rows().values())


@pytest.mark.parametrize("exchange", [prepare("p", VIEW), push("p", VIEW, [(b"k", b"row")], 0)])
def test_a_view_that_is_being_removed_takes_no_rows(exchange):
    redis = ScriptedRedis({removal_field("delays@v2"): b"{}"})
    with pytest.raises(RemovalUnfinished):
        redis.run(exchange)
    assert [[command.arguments[0] for command in trip] for trip in redis.trips] == [["HMGET", "HSET"]]


def test_a_view_that_is_known_is_not_introduced_again():
    (field,) = view_entry(VIEW)
    redis = ScriptedRedis({field: b"what a materialization said"})
    redis.run(introduce("p", VIEW))
    assert redis.hashes[CATALOG] == {field: b"what a materialization said"}


@given(st.integers(0, 500), st.lists(st.integers(1, 500), min_size=1))
def test_a_scripts_reply(won, places):
    assert WriteReply.parse(won) == (won, ())
    assert WriteReply.parse([won, *places]) == (won, tuple(place - 1 for place in places))


@pytest.mark.parametrize("reply", [None, b"OK", [b"1"], [1, None], {}, [[1]]])
def test_what_no_script_of_ours_replies_is_refused(reply):
    with pytest.raises(msgspec.ValidationError):
        WriteReply.parse(reply)


def scripted(exchange: Exchange[Result], *trips: Sequence[object]) -> tuple[list[Sequence[RedisCommand]], Callable]:
    """The trips that an exchange makes when it gets these replies, and how it ends."""
    made = [next(exchange)]

    def end() -> Result:
        for replies in trips:
            try:
                made.append(exchange.send(replies))
            except StopIteration as end:
                return end.value
        raise AssertionError("it asks for more")

    return made, end


@pytest.mark.parametrize("marks", [[], [b"m1", b"m2"]])
@pytest.mark.parametrize("start", [None, at(0)])
@pytest.mark.parametrize("anew", [False, True])
def test_a_window_is_noted_by_the_marks_first_and_then_in_the_catalog(marks, start, anew):
    replies = [[[1, instant(at(5))] for _ in marks]] if marks else []
    made, end = scripted(register("p", VIEW, start, at(2), anew=anew, marks=marks), *replies, [[1, instant(at(3))]])
    assert end() == at(3)
    since = b"2013-10-01T00:00:00.000000Z" if start else b""
    arguments = (removal_field("delays@v2"), reached_field("delays@v2"), since, instant(at(2)), b"%d" % anew)
    entry = [word for pair in view_entry(VIEW).items() for word in pair]
    expected = [[RedisCommand(mark, ("EVAL", ADVANCE, 1, mark, *arguments)) for mark in marks]] if marks else []
    assert [[*trip] for trip in made] == [
        *expected,
        [RedisCommand(CATALOG, ("EVAL", ADVANCE, 1, CATALOG, *arguments, *entry))],
    ]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (REMOVING, RemovalUnfinished("delays@v2")),
        (b"", RowsLost("delays@v2", instant(at(1)).decode(), None)),
        (instant(at(0)), RowsLost("delays@v2", instant(at(1)).decode(), instant(at(0)).decode())),
    ],
)
@pytest.mark.parametrize("lost_by", ["mark", "catalog"])
def test_a_store_that_lost_rows_takes_no_note(data, error, lost_by):
    good, bad = [1, instant(at(1))], [0, data]
    trips = [[good, bad]] if lost_by == "mark" else [[good, good], [bad]]
    made, end = scripted(register("p", VIEW, at(1), at(2), anew=False, marks=[b"m1", b"m2"]), *trips)
    with pytest.raises(type(error)) as refused:
        end()
    assert str(refused.value) == str(error)
    assert len(made) == len(trips), "what a mark refuses does not reach the catalog"


INSTANTS = st.none() | st.integers(0, 3).map(at) | st.just(b"\xffsoon")


def told(value: datetime | bytes | None) -> bytes | None:
    return instant(value) if isinstance(value, datetime) else value


@given(st.lists(st.tuples(st.booleans(), st.lists(INSTANTS, min_size=3, max_size=3)), min_size=1, max_size=3))
def test_a_view_is_whole_up_to_the_earliest_of_all_instants(views):
    """`views`: whether the catalog has each, and its instants there and in two marks."""
    (entry,) = view_entry(VIEW).values()
    catalog = [word for known, instants in views for word in (entry if known else None, told(instants[0]))]
    marked = [[told(instants[place]) for _, instants in views] for place in (1, 2)]
    names = [f"v{number}" for number in range(len(views))]
    _, end = scripted(stored_views("p", names, [b"m1", b"m2"]), [catalog], marked)
    expected = [
        StoredView(
            VIEW if known else None,
            min(instants) if all(isinstance(one, datetime) for one in instants) else None,
        )
        for known, instants in views
    ]
    assert end() == expected


def test_nothing_is_asked_of_no_views():
    with pytest.raises(StopIteration) as end:
        next(stored_views("p", [], [b"m1"]))
    assert end.value.value == []


@given(st.datetimes(), st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
def test_instants_are_of_one_length_and_compare_as_times_do(time, apart):
    one = time.replace(tzinfo=UTC)
    try:
        other = one + apart
    except OverflowError:
        return
    assert len(instant(one)) == len(instant(other)) == 27
    assert (instant(one) < instant(other)) == (one < other)
