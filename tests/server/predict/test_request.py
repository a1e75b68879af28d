from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from skewless.contract.columns import ColumnValues
from skewless.contract.json_values import SAMPLES, pointer_token, to_json
from skewless.contract.plan import Field, JoinKey, Plan, PlanView
from skewless.contract.timestamps import parse_rfc3339, rfc3339_text
from skewless.contract.value_types import NAMES, value_type
from skewless.server.errors import InvalidBody, InvalidRequest
from skewless.server.predict.request import PredictRequest, RequestReader, sample_row

KEYS = ("String", "Bytes", "Int32", "Int64", "UnixTimestamp")
INPUTS = tuple(Field(f"in {name}", name) for name in NAMES)
JOIN_KEYS = tuple(JoinKey(f"key {name}", name, name) for name in KEYS)
PLAN = Plan("all", "tests", (PlanView("v", "v", JOIN_KEYS, (), 0, "event_timestamp"),), INPUTS, (), ())
READER = RequestReader(PLAN)
TYPES = {field.name: field.dtype for field in (*JOIN_KEYS, *INPUTS)}

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
FINE: dict[str, st.SearchStrategy[Any]] = {
    "Bytes": st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
    "String": st.text(max_size=9),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "Float32": FLOAT32 | st.integers(-1000, 1000),
    "Bool": st.booleans(),
    "UnixTimestamp": st.datetimes().map(lambda time: time.isoformat() + "Z"),
}
FINE_KEY = {"key UnixTimestamp": st.datetimes().map(lambda time: time.replace(microsecond=0).isoformat() + "Z")}
ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
WRONG: dict[str, list[object]] = {
    "Bytes": ["=", "a", "é", b"".hex() + "%", 1],
    "String": [1, 1.5, True, [], {}],
    "Int32": [2**31, -(2**31) - 1, 1.0, "1", True, []],
    "Int64": [2**63, -(2**63) - 1, 2**64, 1.0, "1", False, {}],
    "Float64": ["1", True, [], {}],
    "Float32": [1e39, -3.5e38, "1", False],
    "Bool": [0, 1, "true"],
    "UnixTimestamp": [
        0,
        "2013",
        "2013-10-01",
        "2013-10-01T12:00:00",
        "2013-W01-1T00:00:00Z",
        "2013-02-30T00:00:00Z",
    ],
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | FINE_KEY.get(name, FINE[dtype]) for name, dtype in TYPES.items()}),
    min_size=1,
    max_size=20,
)


@given(ROWS)
def test_every_type_is_read_exactly(rows: list[dict[str, Any]]):
    given = READER.columns([READER.read(json.dumps({"rows": rows}).encode())])
    assert given.rows == len(rows)
    for name, dtype in TYPES.items():
        for index, row in enumerate(rows):
            meant = None if row[name] is None else plain(dtype, row[name])
            if name.startswith("key"):
                assert given.entities[name][index] == meant
            else:
                values = given.request[name]
                assert values.data.dtype == value_type(dtype).numpy
                assert bool(values.valid[index]) == (meant is not None)
                if meant is not None:
                    assert values.data[index] == value_type(dtype).numpy.type(meant)


@given(ROWS)
def test_what_was_read_is_told_back(rows: list[dict[str, Any]]):
    """A value in `explain` can be sent again and means the same."""
    given = READER.columns([READER.read(json.dumps({"rows": rows}).encode())])
    told = [
        row | {f.name: to_json(value_type(f.dtype), given.request[f.name])[i] for f in INPUTS}
        for i, row in enumerate(rows)
    ]
    again = READER.columns([READER.read(json.dumps({"rows": told}).encode())])
    assert all(same(again.request[f.name], given.request[f.name]) for f in INPUTS)


def outcome(read: Callable[[bytes], PredictRequest], body: bytes) -> str:
    """What came out; by its text, since -0.0 is no 0.0 and True no 1."""
    try:
        return repr(read(body))
    except InvalidBody as error:
        return repr(error)


@given(ROWS, st.data())
def test_the_short_way_reads_what_the_long_way_reads(rows: list[dict[str, Any]], data: st.DataObject):
    """Bodies that are fine, and ones in which a few values or bytes are wrong."""
    spoilt = data.draw(st.lists(st.sampled_from([*TYPES, "stranger"]), max_size=2))
    for name in spoilt:
        row = data.draw(st.sampled_from(rows))
        row[name] = data.draw(ANY | st.sampled_from([value for wrong in WRONG.values() for value in wrong]))
    body = bytearray(json.dumps({"rows": rows}, ensure_ascii=data.draw(st.booleans())).encode())
    if data.draw(st.integers(0, 9)) == 0:
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    found = outcome(READER.read, bytes(body))
    event(found.partition("(")[0])
    assert found == outcome(READER.read_slowly, bytes(body))


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_requests_are_given_together_row_after_row(requests: list[list[dict[str, Any]]]):
    asks = [READER.read(json.dumps({"rows": rows}).encode()) for rows in requests]
    together, alone = READER.columns(asks), [READER.columns([ask]) for ask in asks]
    assert together.rows == sum(one.rows for one in alone)
    for name, column in together.entities.items():
        assert column == [value for one in alone for value in one.entities[name]]
    for name, values in together.request.items():
        joined = ColumnValues(
            *(np.concatenate([getattr(v.request[name], part) for v in alone]) for part in ("data", "valid"))
        )
        assert values.data.dtype == joined.data.dtype
        assert same(values, joined)


def test_a_key_that_is_a_time_is_in_whole_seconds():
    row = sample_row(PLAN) | {"key UnixTimestamp": "2013-10-01T12:00:00.5Z"}
    with pytest.raises(InvalidRequest, match="/rows/0/key UnixTimestamp: must be a time in whole seconds"):
        READER.read(json.dumps({"rows": [row]}).encode())


@pytest.mark.parametrize(("dtype", "wrong"), [(dtype, wrong) for dtype in NAMES for wrong in WRONG[dtype]])
def test_what_is_of_another_type_is_refused_wherever_it_stands(dtype: str, wrong: object):
    good = sample_row(PLAN)
    names = [name for name, kind in TYPES.items() if kind == dtype]
    with pytest.raises(InvalidRequest) as raised:
        READER.read(json.dumps({"rows": [good, good | dict.fromkeys(names, wrong)]}).encode())
    assert [error.pointer for error in raised.value.errors] == [f"/rows/1/{name}" for name in names]
    assert all("null" in error.reason or "must be from" in error.reason for error in raised.value.errors)


def test_a_sample_row_fits():
    assert set(SAMPLES) == set(NAMES)
    assert READER.read(json.dumps({"rows": [sample_row(PLAN)] * 3}).encode()).rows == 3


def test_a_plan_without_inputs_takes_empty_rows():
    reader = RequestReader(Plan("none", "tests", (), (), (), ()))
    assert reader.read(b'{"rows": [{}, {}]}').rows == 2
    with pytest.raises(InvalidRequest):
        reader.read(b'{"rows": [{"a": 1}]}')


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500_000),
        ("1970-01-01 01:00:00.000001+01:00", 1),
        ("1969-12-31T23:59:59.999999-00:00", -1),
    ],
)
def test_instants(text: str, micros: int):
    assert parse_rfc3339(text) == micros


def test_instants_as_text():
    assert rfc3339_text(0) == "1970-01-01T00:00:00Z"
    assert rfc3339_text(-1) == "1969-12-31T23:59:59.999999Z"
    assert rfc3339_text(500_000) == "1970-01-01T00:00:00.500000Z"


@given(st.text())
def test_no_text_is_an_instant_by_chance(text: str):
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_rfc3339(text)


def test_the_ends_of_the_calendar_are_read():
    for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59"):
        assert isinstance(parse_rfc3339(text), int)


def test_pointers_are_escaped():
    assert pointer_token("a/b~c") == "a~1b~0c"


def plain(dtype: str, value: Any) -> Any:
    if dtype == "Bytes":
        return base64.b64decode(value)
    return parse_rfc3339(value) if dtype == "UnixTimestamp" else value


def same(one: ColumnValues, other: ColumnValues) -> bool:
    equal = one.data.tolist() == other.data.tolist() and one.valid.tolist() == other.valid.tolist()
    return equal and (one.data.dtype == object or one.data.tobytes() == np.ascontiguousarray(other.data).tobytes())


def test_a_float32_has_the_shortest_digits_that_give_its_bits():
    kind, data = value_type("Float32"), np.array([1.111, -0.0, 3.4028235e38, 1e-45, 0.1], "f4")
    told = to_json(kind, ColumnValues(data, np.ones(len(data), bool)))
    assert json.dumps(told) == "[1.111, -0.0, 3.4028235e+38, 1e-45, 0.1]"
    assert (np.array(told, "f4").view("u4") == data.view("u4")).all()
