from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.errors import InvalidInput, UnsupportedType
from skewless.contract.plan import DUMMY_ENTITY
from skewless.contract.storage.entity_key import EntityKeyEncoder, ParsedEntityKey, key_head, key_text, parse_key
from tests.checkout import GOLDEN_BYTES
from tests.oracles import entity_key
from tests.strategies import ALL_KEY_TYPES, VALUES

GOLDEN = json.loads(GOLDEN_BYTES.read_text())["keys"]


@st.composite
def entities(draw):
    """Join keys in any order, with their types and values."""
    names = draw(st.lists(st.text("abAB_é", min_size=1, max_size=4), min_size=1, max_size=4, unique=True))
    types = [draw(st.sampled_from(ALL_KEY_TYPES)) for _ in names]
    return {name: (dtype, draw(VALUES[dtype])) for name, dtype in zip(names, types, strict=True)}


def encoded(project, entity):
    keys = EntityKeyEncoder(project, list(entity), [dtype for dtype, _ in entity.values()])
    return keys.encode([value for _, value in entity.values()])


def of_feast(project, entity):
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    fields = {"String": "string_val", "Bytes": "bytes_val", "Int32": "int32_val", "Int64": "int64_val"}
    values = [
        Value(unix_timestamp_val=value // 1_000_000) if dtype == "UnixTimestamp" else Value(**{fields[dtype]: value})
        for dtype, value in entity.values()
    ]
    return _redis_key(project, EntityKey(join_keys=list(entity), entity_values=values))


@given(st.text("pé-", max_size=3), entities())
def test_a_key_is_the_key_of_feast(project, entity):
    assert encoded(project, entity) == of_feast(project, entity) == entity_key(project, entity)


def test_an_entityless_view_has_the_key_of_feasts_dummy_entity():
    from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

    assert DUMMY_ENTITY == (DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL)
    expected = of_feast("p", {DUMMY_ENTITY_ID: ("String", DUMMY_ENTITY_VAL)})
    assert EntityKeyEncoder("p", [], []).encode_rows([], 3) == [expected] * 3


@given(entities())
def test_the_order_of_join_keys_does_not_matter(entity):
    assert encoded("p", entity) == encoded("p", dict(reversed(entity.items())))


@given(st.data(), st.lists(st.sampled_from(ALL_KEY_TYPES), min_size=1, max_size=3))
def test_rows_are_encoded_one_by_one(data, types):
    row = st.tuples(*[st.one_of(st.none(), VALUES[dtype]) for dtype in types])
    some = data.draw(st.lists(row, max_size=5))
    some += some[:2]
    names = [f"k{place}" for place in range(len(types))]
    keys = EntityKeyEncoder("p", names, types)
    expected = [
        None if None in row else entity_key("p", dict(zip(names, zip(types, row, strict=True), strict=True)))
        for row in some
    ]
    assert keys.encode_rows([[row[place] for row in some] for place in range(len(types))], len(some)) == expected


@given(entities(), entities(), st.sampled_from(["p", "pp"]), st.sampled_from(["p", "pp"]))
def test_two_entities_never_share_a_key(one, two, project, other):
    assert (encoded(project, one) == encoded(other, two)) == ((project, one) == (other, two))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("Int32", 2**31),
        ("Int64", 2**63),
        ("Int64", "7"),
        ("Int64", b"7"),
        ("Int64", 7.0),
        ("String", 7),
        ("String", b"7"),
        ("String", "\ud800"),
        ("Bytes", "7"),
        ("UnixTimestamp", "7"),
        ("UnixTimestamp", 1_500_000),
        ("UnixTimestamp", 2**80 * 1_000_000),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused_by_name(dtype, value):
    with pytest.raises(InvalidInput, match=f"tail.*{dtype}"):
        EntityKeyEncoder("p", ["tail"], [dtype]).encode([value])


@pytest.mark.parametrize("dtype", ["Float32", "Float64", "Bool", "Json", "Uuid", "Array(Int64)", "ZonedTimestamp"])
def test_a_type_that_cannot_be_a_key_is_refused_by_name(dtype):
    with pytest.raises(InvalidInput, match=f"tail.*{re.escape(dtype)}"):
        EntityKeyEncoder("p", ["tail"], [dtype])
    with pytest.raises(UnsupportedType, match="Jsonb"):
        EntityKeyEncoder("p", ["tail"], ["Jsonb"])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_golden_keys(case):
    """Bytes that stores out there hold: a change here is a change of format."""
    if not case["keys"]:
        assert EntityKeyEncoder(case["project"], [], []).encode_rows([], 1)[0].hex() == case["hex"]
        return
    entity = {
        name: (dtype, bytes.fromhex(value) if dtype == "Bytes" else value)
        for name, (dtype, value) in case["keys"].items()
    }
    assert encoded(case["project"], entity).hex() == case["hex"]


@given(
    st.tuples(
        st.text(max_size=5),
        st.binary(max_size=5),
        st.integers(-(2**31), 2**31 - 1),
        st.integers(-(2**63), 2**63 - 1),
    ),
    st.text(max_size=5),
)
def test_a_key_is_taken_apart_again(values, project):
    names, dtypes = ("d", "b", "a", "c"), ("String", "Bytes", "Int32", "Int64")
    key = EntityKeyEncoder(project, names, dtypes).encode(values)
    ordered = dict(sorted(zip(names, values, strict=True)))
    assert parse_key(key) == ParsedEntityKey(tuple(ordered), tuple(ordered.values()), project)
    assert key_text(key) == ", ".join(f"{name}={value!r}" for name, value in ordered.items())
    assert key.startswith(key_head(names))
    assert all(parse_key(key[:end]) is None for end in range(len(key) - len(project.encode())))


def test_what_is_no_entity_key_is_told_by_its_bytes():
    (entityless,) = EntityKeyEncoder("p", [], []).encode_rows([], 1)
    assert parse_key(entityless) == ParsedEntityKey(("__dummy_id",), ("",), "p")
    for other in (b"", b"skewless:catalog:p", b"\xff" * 40, b"\x01\0\0\0\x04\0\0\0\x04\0\0\0abcd"):
        assert parse_key(other) is None
        assert key_text(other) == other.hex()
