"""Hypothesis strategies for everything that the contract speaks of: values, schemas, rows, histories, plans, spines.

They lean on what hurts: NaNs with a payload, -0.0, integers beyond 2^53, empty and non-ASCII texts, times before 1970
and with microseconds, late rows, corrections, ties, tombstones, rows of the future.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from skewless.contract.plan import (
    Field,
    JoinKey,
    ModelColumn,
    Plan,
    PlanView,
    RequestInput,
    StoredFeature,
)
from skewless.contract.value_types import NAMES, value_type
from tests.oracles import Row, Spine, Value, number_bytes

KEY_TYPES = ("String", "Bytes", "Int32", "Int64")
NUMBERS = tuple(name for name in NAMES if not value_type(name).text)
YEAR_1900, YEAR_2100 = -2_208_988_800_000_000, 4_102_444_800_000_000

TEXTS = st.one_of(st.just(""), st.sampled_from(["JFK", "Zürich", "東京", "a\0b", "🛩"]), st.text(max_size=8))
FLOAT32_BITS = [0x80000000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FC01234, 0x7F800000, 0xFF800000, 1]
FLOAT64_BITS = [1 << 63, 0x7FF8 << 48, 0xFFF8 << 48, (0x7FF0 << 48) | 1, 0x7FF0 << 48, 0xFFF0 << 48, 1]


def _float32(bits: int) -> np.float32:
    return np.frombuffer(struct.pack("<I", bits), "<f4")[0]


def _float64(bits: int) -> np.float64:
    return np.frombuffer(struct.pack("<Q", bits), "<f8")[0]


def _float_list(bits: list[int]) -> bytes:
    """Feast's message of a list of floats: field 16, and in it field 1 with the floats as they are."""
    raw = b"".join(struct.pack("<I", one) for one in bits)
    return b"\x82\x01" + (bytes([len(raw) + 2, 0x0A, len(raw)]) + raw if raw else b"\x00")


INSTANTS = st.one_of(st.sampled_from([-1, 0, 1, 1_356_998_400_000_001]), st.integers(YEAR_1900, YEAR_2100))
"""Microseconds from 1900 to 2100."""

_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "Bytes": st.one_of(st.just(b""), st.binary(max_size=8)),
    "String": TEXTS,
    "Int32": st.one_of(st.sampled_from([-(2**31), 2**31 - 1, 2**24 + 1]), st.integers(-(2**31), 2**31 - 1)),
    "Int64": st.one_of(
        st.integers(-9, 9),
        st.sampled_from([-(2**31), 2**31 - 1, 2**24 + 1, -(2**31) - 1, 2**31]),
        st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1, 2**60 + 1]),
        st.integers(-(2**63), 2**63 - 1),
    ),
    "Float64": st.one_of(
        st.sampled_from(FLOAT64_BITS).map(_float64),
        st.integers(0, 2**64 - 1).map(_float64),
        st.floats(-1e3, 1e3).map(np.float64),
    ),
    "Float32": st.one_of(
        st.sampled_from(FLOAT32_BITS).map(_float32),
        st.integers(0, 2**32 - 1).map(_float32),
        st.floats(-1e3, 1e3, width=32).map(np.float32),
    ),
    "Bool": st.booleans(),
    "UnixTimestamp": INSTANTS,
    "Json": st.sampled_from(["null", "{}", '""', '{"é": [1, 2.5]}']),
    "Uuid": st.uuids().map(str),
    "TimeUuid": st.just("58e0a7d7-eebc-11d8-9669-0800200c9a66"),
    "Decimal": st.sampled_from(["0", "-1.50", "1E+10"]),
    "PdfBytes": st.just(b"%PDF-"),
    "ImageBytes": st.binary(max_size=4),
    "Array(Float32)": st.lists(st.sampled_from(FLOAT32_BITS), max_size=3).map(_float_list),
    "Set(String)": st.sampled_from([b"\xba\x01\x00", b"\xba\x01\x05\x0a\x00\x0a\x01a"]),
    "Array(Array(Int64))": st.sampled_from([b"\xd2\x02\x00", b"\xd2\x02\x09\x0a\x07\x72\x05\x0a\x03\x00\x01\x7f"]),
    # Of texts only: the files of one table hold maps of one Arrow type, and an empty map's is that of texts.
    "Map": st.sampled_from([b"\xa2\x01\x00", b"\xa2\x01\x0a\x0a\x08\x0a\x01a\x12\x03\x12\x01x"]),
    'Struct({"a": Int64})': st.sampled_from(
        [b"\x92\x02\x09\x0a\x07\x0a\x01a\x12\x02\x20\x07", b"\x92\x02\x07\x0a\x05\x0a\x01a\x12\x00"]
    ),
}
STORED = tuple(_VALUES)
"""Types of stored features: the plain ones and some of every other shape, whose values are bytes of Feast's messages."""


def values(dtype: str) -> st.SearchStrategy[Value]:
    """A value of a feature type, or None."""
    return st.one_of(st.none(), _VALUES[dtype], _VALUES[dtype])


def names() -> st.SearchStrategy[str]:
    return st.one_of(st.text("abc", min_size=1, max_size=3), st.sampled_from(["délai", "遅延"]))


def schemas(
    *, min_size: int = 0, max_size: int = 11, types: Sequence[str] = STORED
) -> st.SearchStrategy[tuple[Field, ...]]:
    """Features of any types with names of their own; often more than eight, so that the null bitmap grows."""
    fields = st.builds(Field, names(), st.one_of(st.sampled_from(NAMES), st.sampled_from(types)))
    return st.lists(fields, min_size=min_size, max_size=max_size, unique_by=lambda field: field.name).map(tuple)


@st.composite
def rows(draw: st.DrawFn, schema: tuple[Field, ...], times: st.SearchStrategy[int] = INSTANTS) -> Row:
    """One row of a schema, of no entity in particular."""
    event = draw(times)
    created = draw(st.one_of(st.just(event), times))
    found = tuple(draw(values(field.dtype)) for field in schema)
    return Row((), event, created, draw(st.booleans()), found, schema)


def arrow_column(dtype: str, column: Sequence[Value]) -> pa.Array:
    """Values of a feature type as the Arrow array of that type, every bit kept."""
    kind = value_type(dtype)
    if kind.text:
        return pa.array(column, kind.arrow)
    packed = b"".join(number_bytes(dtype, value) for value in column)
    data = np.frombuffer(packed, kind.numpy)
    return pa.array(data, mask=np.array([value is None for value in column], bool)).cast(kind.arrow)


def key_values(dtype: str, number: int) -> str | bytes | int:
    """The `number`th entity's value of a join key."""
    return {"String": f"é{number}", "Bytes": b"\xff%d" % number}.get(dtype, number - 1)


@st.composite
def views(draw: st.DrawFn, stored_as: str, join_keys: tuple[JoinKey, ...], unit: int) -> PlanView:
    """A view whose ttl is some units of time."""
    return PlanView(
        name=stored_as,
        stored_as=stored_as,
        join_keys=join_keys,
        fields=draw(schemas(min_size=1, max_size=4)),
        ttl_us=draw(st.sampled_from([0, 1, 2, 4])) * unit,
        known_by=draw(st.sampled_from(["created_timestamp", "event_timestamp"])),
        deleted_field=draw(st.sampled_from([None, "gone"])),
    )


UNIT = 250_001
"""Histories and spines keep to few instants, this many microseconds apart, so that ties and ttl ends are common."""
MOMENTS = st.integers(-3, 6).map(lambda steps: 1_356_998_400_000_000 + steps * UNIT)
OLD_MOMENTS = st.integers(-3, 6).map(lambda steps: -steps * UNIT)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Views of several entities (composite, absent and aliased ones too), request inputs and columns with defaults."""
    types = draw(st.lists(st.sampled_from(KEY_TYPES), min_size=2, max_size=2))
    spine_keys = [JoinKey(f"k{place}", f"k{place}", dtype) for place, dtype in enumerate(types)]
    found = []
    for place in range(draw(st.integers(1, 3))):
        used = draw(st.permutations(spine_keys))[: draw(st.integers(0, 2))]
        found.append(draw(views(f"v{place}", tuple(used), UNIT)))
    if found[0].join_keys and draw(st.booleans()):
        found.append(_aliased(found[0]))
    request = draw(schemas(max_size=2, types=NAMES))
    numbers = [
        StoredFeature(view.name, field.name) for view in found for field in view.fields if field.dtype in NUMBERS
    ]
    sources = [*numbers, *(RequestInput(field.name) for field in request if field.dtype in NUMBERS)]
    chosen = draw(st.permutations(sources))
    defaults = st.sampled_from([None, 0, -1.5, 0.1])
    columns = tuple(ModelColumn(f"c{place}", source, draw(defaults)) for place, source in enumerate(chosen))
    return Plan("service", "project", tuple(found), request, (), columns)


def _aliased(view: PlanView) -> PlanView:
    """The same view again, for another entity of the spine: `other_k0` stands for `k0`."""
    keys = tuple(JoinKey(f"other_{key.name}", key.key, key.dtype) for key in view.join_keys)
    return PlanView(
        f"{view.name}_too", view.stored_as, keys, view.fields, view.ttl_us, view.known_by, view.deleted_field
    )


@st.composite
def histories(draw: st.DrawFn, plan: Plan, moments: st.SearchStrategy[int]) -> dict[str, list[Row]]:
    """Rows of every stored view in any order: late rows, corrections, ties, tombstones, rows of the future."""
    found: dict[str, list[Row]] = {}
    for view in plan.views:
        if view.stored_as in found:
            continue
        found[view.stored_as] = []
        for _ in range(draw(st.integers(0, 6))):
            key = tuple(key_values(k.dtype, draw(st.integers(1, 2))) for k in view.join_keys)
            event = draw(moments)
            created = draw(st.one_of(st.just(event), moments))
            deleted = view.deleted_field is not None and draw(st.booleans())
            cells = tuple(draw(values(field.dtype)) for field in view.fields)
            found[view.stored_as].append(Row(key, event, created, deleted, cells, view.fields))
    return found


@st.composite
def spines(draw: st.DrawFn, plan: Plan, moments: st.SearchStrategy[int], *, max_size: int = 6) -> list[Spine]:
    """Rows to join to: known and unknown entities, null keys, repeats; on, just before and just after the moments."""
    found = []
    for _ in range(draw(st.integers(0, max_size))):
        keys = {
            key.name: draw(st.one_of(st.integers(1, 3).map(lambda n, k=key: key_values(k.dtype, n)), st.none()))
            if draw(st.integers(0, 5)) == 0
            else key_values(key.dtype, draw(st.integers(1, 3)))
            for key in plan.join_keys
        }
        found.append(Spine(keys, draw(moments) + draw(st.sampled_from([-1, 0, 0, 1]))))
    return found


ALL_KEY_TYPES = (*KEY_TYPES, "UnixTimestamp")
VALUES = {
    "String": TEXTS,
    "Bytes": st.binary(max_size=6),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "UnixTimestamp": st.integers(-(10**10), 10**10).map(lambda seconds: seconds * 1_000_000),
}
