from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.errors import UnsupportedType
from skewless.contract.plan import Field
from skewless.contract.storage.packed_row import fingerprint
from skewless.contract.value_types import NAMES, plain_type, value_type

SCALARS = (
    *NAMES,
    "PdfBytes",
    "ImageBytes",
    "Map",
    "Json",
    "Uuid",
    "TimeUuid",
    "Decimal",
    "ScalarMap",
    "ZonedTimestamp",
)
LISTED = (*NAMES, "Json", "Uuid", "TimeUuid", "Decimal", "Map")
IN_SETS = tuple(name for name in LISTED if name not in {"Json", "Map"})


@st.composite
def structs(draw, inner) -> str:
    names = draw(st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True))
    return f"Struct({{{', '.join(f'{json.dumps(name)}: {draw(inner)}' for name in names)}}})"


def nested(inner):
    listed = inner.filter(lambda name: not name.startswith("Struct") and name not in SCALARS)
    return st.one_of(
        structs(inner),
        structs(inner).map(lambda name: f"Array({name})"),
        listed.map(lambda name: f"Array({name})"),
        listed.filter(lambda name: "Struct" not in name).map(lambda name: f"Set({name})"),
    )


FLAT = st.one_of(
    st.sampled_from(LISTED).map(lambda name: f"Array({name})"),
    st.sampled_from(IN_SETS).map(lambda name: f"Set({name})"),
)
SPELLINGS = st.recursive(st.one_of(st.sampled_from(SCALARS), FLAT), nested, max_leaves=5)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_type_is_the_one_of_feast(name):
    from feast import types
    from feast.types import PrimitiveFeastType, from_feast_to_pyarrow_type

    kind = value_type(name)
    assert plain_type(name) is kind
    of_feast: PrimitiveFeastType = getattr(types, name)
    assert of_feast.to_value_type().value == kind.number
    if name not in {"Bytes", "UnixTimestamp"}:  # Feast has no Arrow type for bytes; its times may be coarser
        assert from_feast_to_pyarrow_type(of_feast) == kind.arrow
    assert kind.width == (4 if kind.text else kind.numpy.itemsize)


def test_every_value_type_of_feast_has_a_spelling():
    from feast import ValueType
    from feast.types import from_value_type

    for number in set(ValueType) - {ValueType.UNKNOWN, ValueType.NULL}:
        spelled = str(from_value_type(number)).replace("_value", '"_value"')
        assert value_type(spelled).number == number.value, number


@given(st.data())
def test_a_spelling_names_one_type_and_survives_json(data):
    one, other = data.draw(SPELLINGS), data.draw(SPELLINGS)
    kind = value_type(one)
    assert kind.name == one
    field = Field("f", one)
    assert msgspec.json.decode(msgspec.json.encode(field), type=Field) == field
    assert (fingerprint((field,)) == fingerprint((Field("f", other),))) == (one == other)
    for inner in kind.inner:
        assert value_type(inner.name) == inner


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "Int",
        "int64",
        "Array",
        "Array()",
        "Array(Int64",
        "Array(Int64))",
        "Array( Int64)",
        "Array(Invalid)",
        "Array(PdfBytes)",
        "Array(ScalarMap)",
        "Array(ZonedTimestamp)",
        "Set(Map)",
        "Set(Json)",
        'Set(Struct({"a": Int64}))',
        "Struct",
        "Struct({})",
        "Struct({a: Int64})",
        'Struct({"a":Int64})',
        'Struct({"a": Int64, "a": Int32})',
        'Struct({"\\u0061": Int64})',
        'Struct({"a": Int64, })',
        'Struct({["a"]: Int64})',
        "Array(" * 50 + "Int64" + ")" * 50,
        "Array(" * 5000,
    ],
)
def test_what_feast_cannot_store_or_is_spelled_otherwise_is_named(spelling):
    with pytest.raises(UnsupportedType) as refused:
        value_type(spelling, feature="f")
    assert (refused.value.feature, refused.value.dtype) == ("f", spelling)


@given(st.text('ArySetuc(){}:, "ae64Int', max_size=30))
def test_any_text_is_a_type_or_refused(text):
    with contextlib.suppress(UnsupportedType):
        assert value_type(text).name == text


@pytest.mark.parametrize("name", ["Json", "Map", "Array(Int64)", "?"])
def test_only_plain_types_are_plain(name):
    with pytest.raises(UnsupportedType, match="'f'"):
        plain_type(name, feature="f")
