"""Every value type that is neither a number nor a text: tables, messages, answers."""

from __future__ import annotations

import json
import struct
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.columns import ColumnValues, column_values
from skewless.contract.value_types import ValueType, value_type
from skewless.offline.tables.columns import feature
from skewless.offline.values.arrow_answers import answer
from skewless.offline.values.column_types import holds_value, natural
from skewless.offline.values.feast_messages import FIELDS, message, messages, normalized, plain, serialized
from skewless.offline.values.packing import packable
from skewless.runtime.errors import SourceMismatch
from tests.checkout import GOLDEN_BYTES
from tests.strategies import FLOAT32_BITS, FLOAT64_BITS

GOLDEN = json.loads(GOLDEN_BYTES.read_text())["values"]
UUID = "58e0a7d7-eebc-11d8-9669-0800200c9a66"
WHOLE_SECONDS = st.integers(-(2**31), 2**33).map(lambda second: datetime.fromtimestamp(second, tz=UTC))
ELEMENTS = {
    "Bytes": st.binary(max_size=3),
    "String": st.text(max_size=3),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.one_of(st.just(2**53 + 1), st.integers(-(2**63), 2**63 - 1)),
    "Float64": st.floats(),
    "Float32": st.floats(width=32),
    "Bool": st.booleans(),
    "UnixTimestamp": WHOLE_SECONDS,
    "Uuid": st.uuids().map(str),
    "TimeUuid": st.just(UUID),
    "Decimal": st.decimals(allow_nan=False).map(str),
    "Json": st.sampled_from(["{}", '{"b": 1, "a": []}', "null"]),
}
POINT = value_type('Struct({"lat": Float64, "name": String, "raw": Bytes, "tags": Array(String)})')


def listed(inner: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.none(), st.just([]), st.lists(inner, max_size=4))


def arrow(kind: ValueType, column: list) -> pa.Array:
    """Python values in the type's natural Arrow type."""
    inner = pa.map_(pa.string(), pa.int64())
    types = {"Map": inner, "Array(Map)": pa.list_(inner), "ScalarMap": pa.map_(pa.int64(), pa.string())}
    if kind.name in types:
        return pa.array(column, types[kind.name])
    return pa.array(column, natural(kind))


def told(kind: ValueType, column: pa.Array) -> list:
    return answer(kind, column_values(kind, messages(kind, column))).to_pylist()


@given(st.data(), st.sampled_from(sorted(ELEMENTS)))
def test_a_list_comes_back_as_it_was(data, name):
    kind = value_type(f"Array({name})")
    column = arrow(kind, data.draw(st.lists(listed(ELEMENTS[name]), max_size=4)))
    assert repr(told(kind, column)) == repr(column.to_pylist())


@given(st.data(), st.sampled_from(sorted(set(ELEMENTS) - {"Json"})))
def test_a_set_is_the_same_bytes_in_any_order(data, name):
    kind = value_type(f"Set({name})")
    elements = data.draw(st.lists(ELEMENTS[name], max_size=4))
    shuffled = data.draw(st.permutations(elements + elements[:1]))
    one, other = messages(kind, arrow(kind, [elements, shuffled]))
    assert one == other
    back = told(kind, arrow(kind, [elements, None, []]))
    assert back[1:] == [None, []]
    assert {repr(element) for element in back[0]} == {repr(e) for e in arrow(kind, [elements]).to_pylist()[0]}


@given(st.lists(listed(st.sampled_from(FLOAT32_BITS)), max_size=4), st.sampled_from([4, 8]))
def test_lists_of_floats_keep_every_bit(column, width):
    bits, form, name = (FLOAT32_BITS, "<u4", "Float32") if width == 4 else (FLOAT64_BITS, "<u8", "Float64")
    column = [None if one is None else [bits[FLOAT32_BITS.index(b) % len(bits)] for b in one] for one in column]
    kind = value_type(f"Array({name})")
    flat = np.array([b for one in column if one for b in one], form).view(form.replace("u", "f"))
    sizes = [0] + [len(one or []) for one in column]
    mask = pa.array([one is None for one in column], pa.bool_())
    lists = pa.ListArray.from_arrays(pa.array(np.cumsum(sizes).astype(np.int32)), pa.array(flat), mask=mask)
    for form_of in (lists, lists.cast(pa.large_list(lists.type.value_type))):
        packed = messages(kind, form_of)
        back = answer(kind, column_values(kind, packed))
        assert back.is_null().to_pylist() == [one is None for one in column]
        assert back.flatten().to_numpy(zero_copy_only=False).tobytes() == flat.tobytes()
    for raw, one in zip(packed.to_pylist(), column, strict=True):
        assert raw is None or normalized(kind, Value.FromString(raw)) == raw
        assert raw is None or raw.endswith(struct.pack(f"<{len(one)}{'I' if width == 4 else 'Q'}", *one))


POINTS = st.fixed_dictionaries(
    {
        "lat": st.none() | st.floats(),
        "name": st.none() | st.text(max_size=3),
        "raw": st.none() | st.binary(max_size=3),
        "tags": listed(st.text(max_size=2)),
    }
)
MAPS = st.dictionaries(st.text(max_size=3), st.none() | st.integers(-(2**63), 2**63 - 1), max_size=3)
SCALAR_MAPS = st.dictionaries(st.integers(0, 9), st.text(max_size=2), max_size=3)
NESTED = [
    (POINT, POINTS),
    (value_type(f"Array({POINT.name})"), st.lists(POINTS, max_size=3)),
    (value_type("Map"), MAPS.map(lambda one: sorted(one.items()))),
    (value_type("Array(Map)"), st.lists(MAPS.map(lambda one: sorted(one.items())), max_size=3)),
    (value_type("ScalarMap"), SCALAR_MAPS.map(lambda one: sorted(one.items()))),
    (value_type("Array(Array(Float32))"), st.lists(listed(st.floats(width=32)), max_size=3)),
    (value_type("Array(Array(Array(Int32)))"), st.lists(st.lists(listed(st.integers(0, 9)), max_size=2), max_size=2)),
]


@given(st.data(), st.sampled_from(NESTED))
def test_what_is_nested_comes_back_and_is_pushed_alike(data, case):
    kind, inner = case
    column = data.draw(st.lists(st.one_of(st.none(), inner), max_size=4))
    table = arrow(kind, column)
    assert holds_value(kind, table.type)
    packed = messages(kind, table)
    for raw in packed.drop_null().to_pylist():
        assert Value.FromString(raw).WhichOneof("val") == FIELDS[kind.number]
        assert normalized(kind, Value.FromString(raw)) == raw
    back = answer(kind, column_values(kind, packed))
    if "Map" not in kind.name:
        assert repr(back.to_pylist()) == repr(table.to_pylist())
        return
    ordered = [plain(kind, Value.FromString(raw)) for raw in packed.drop_null().to_pylist()]
    assert ordered == table.drop_null().to_pylist(maps_as_pydicts="strict")


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['dtype']} {case['value']}")
def test_golden_messages(case):
    """Bytes that stores out there hold: a change here is a change of format."""
    kind = value_type(case["dtype"])
    assert serialized(message(kind, _python(kind, case["value"]))).hex() == case["hex"]


def _python(kind, value):
    if kind.name == "Bytes":
        return bytes.fromhex(value)
    if kind.name in {"UnixTimestamp", "ZonedTimestamp"}:
        return datetime.fromisoformat(value)
    if kind.name == "ScalarMap":
        return dict(value)
    if kind.shape in ("array", "set"):
        return [None if one is None else _python(kind.inner[0], one) for one in value]
    return value


def test_zones_and_seconds_are_those_of_feast():
    """A Value message counts whole seconds: what a list, a map or a zoned time holds beyond them is cut."""
    zoned = pa.array([1_500_000, None], pa.timestamp("us", "America/New_York"))
    packed = messages(value_type("ZonedTimestamp"), zoned)
    when = feast_value_type_to_python_type(Value.FromString(packed[0].as_py()))
    assert (when.timestamp(), str(when.tzinfo)) == (1, "America/New_York")
    kind = value_type("Array(UnixTimestamp)")
    fine = pa.array([[1_500_000, None]], pa.list_(pa.timestamp("us", "UTC")))
    assert told(kind, fine) == [[datetime.fromtimestamp(1, tz=UTC), None]]


@pytest.mark.parametrize(
    ("name", "column", "reason"),
    [
        ("Array(Int64)", pa.array([[1, None]]), "a null inside"),
        ("Array(Float32)", pa.array([[1.0, None]], pa.list_(pa.float32())), "a null inside"),
        ("Set(Uuid)", pa.array([[UUID, None]]), "a null inside"),
        ("Array(Json)", pa.array([["{"]]), "JSON"),
        ("Map", pa.array(["[1]"]), "not a map"),
        ("Map", pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())), "not of type Map"),
        ("Map", pa.array([[("a", 2**64 - 1)]], pa.map_(pa.string(), pa.uint64())), "not of type Map"),
    ],
)
def test_what_a_message_cannot_say_is_refused_by_name(name, column, reason):
    with pytest.raises(SourceMismatch, match=f"'v': column 'c'.*{reason}"):
        packable("v", "c", value_type(name), column)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Array(Float32)", pa.list_(pa.int64())),
        ("Array(Int64)", pa.int64()),
        ("Array(Int64)", pa.list_(pa.string())),
        ("Set(String)", pa.list_(pa.int64())),
        ("Map", pa.map_(pa.int64(), pa.string())),
        ("ScalarMap", pa.map_(pa.string(), pa.string())),
        (POINT.name, pa.struct([("lat", pa.string())])),
        (POINT.name, pa.struct([("other", pa.string())])),
        ("ZonedTimestamp", pa.string()),
        ("Uuid", pa.int64()),
        ("Decimal", pa.float64()),
    ],
)
def test_a_column_of_another_type_is_refused_by_name(name, kind):
    with pytest.raises(SourceMismatch, match=r"'c'.*declared as"):
        feature("v", "c", pa.chunked_array([pa.array([], kind)]), value_type(name))


def test_uuids_and_decimals_are_texts_whatever_the_table_has():
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(UUID).bytes, None], pa.binary(16)))
    prices = pa.array([Decimal("1.50"), None])
    assert feature("v", "c", pa.chunked_array([ids]), value_type("Uuid")).to_pylist() == [UUID, None]
    assert feature("v", "c", pa.chunked_array([prices]), value_type("Decimal")).to_pylist() == ["1.50", None]


def test_a_struct_is_what_is_declared_of_it():
    """Files of a table may differ in what else they hold: what a row says must not depend on the files read."""
    kind = value_type('Struct({"a": Int64, "b": Float32})')
    wide = pa.array([{"b": 0.5, "x": 1, "a": 7}])
    assert messages(kind, wide) == messages(kind, pa.array(['{"a": 7, "b": 0.5}']))
    narrow = pa.array([{"a": 7}])
    assert told(kind, narrow) == [{"a": 7, "b": None}]


def test_maps_of_many_types_are_answered_as_json():
    kind = value_type("Map")
    mixed = pa.array(['{"a": 1, "b": "x", "c": null, "d": {"e": [0.5]}}', None])
    assert told(kind, mixed) == [[("a", "1"), ("b", '"x"'), ("c", None), ("d", '{"e": [0.5]}')], None]
    assert answer(kind, ColumnValues(np.array([None], object), np.array([False]))).to_pylist() == [None]
