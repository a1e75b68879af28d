"""Columns in other types: exact as Python's own numbers say, or refused with the first row that is not."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.value_types import value_type
from skewless.offline.values.exact_values import InexactValue, convertible, exact
from tests.exact_oracle import Inexact, exactly

WHOLE = st.one_of(
    st.sampled_from(
        [0, 1, -1, 2, 2**24 - 1, 2**24, 2**24 + 1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**62]
    ),
    st.integers(-(2**63), 2**63 - 1),
)
DOUBLES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.5, float("nan"), float("inf"), 2.0**24, 2.0**52 + 0.5, 2.0**53, -(2.0**53) + 1]),
    st.integers(-5, 5).map(float),
    st.floats(),
)
DECIMALS = st.one_of(
    st.sampled_from([Decimal("0.5"), Decimal("0.1"), Decimal(1), Decimal(2**53 + 1), Decimal("-2.25")]),
    st.integers(-(10**20), 10**20).map(lambda number: Decimal(number) / 100),
)
STORED: dict[str, tuple[pa.DataType, st.SearchStrategy]] = {
    "int64": (pa.int64(), WHOLE),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))),
    "double": (pa.float64(), DOUBLES),
    "float": (pa.float32(), st.one_of(st.floats(width=32), st.integers(-(2**25), 2**25).map(lambda n: float(np.float32(n))))),
    "decimal": (pa.decimal128(38, 2), DECIMALS),
}  # fmt: skip
TYPES = ("Int32", "Int64", "Float32", "Float64", "Bool")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("stored", STORED)
@given(data=st.data())
def test_a_column_is_what_its_values_are_one_by_one(stored: str, dtype: str, data: st.DataObject):
    kind, strategy = STORED[stored]
    wanted = value_type(dtype).arrow
    values = data.draw(st.lists(st.one_of(st.none(), strategy), max_size=6))
    column = pa.array(values, kind)
    if not (convertible(wanted, kind) or kind == wanted):
        assert (stored, dtype) == ("decimal", "Bool")
        return
    expected = []
    for row, value in enumerate(column.to_pylist()):
        try:
            expected.append(exactly(value, dtype, single=stored == "float"))
        except Inexact:
            with pytest.raises(InexactValue) as refused:
                exact(column, wanted)
            assert refused.value.row == row
            return
    found = exact(column, wanted)
    assert found.type == wanted
    assert [_bits(value) for value in found.to_pylist()] == [_bits(value) for value in expected]


def _bits(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def test_days_and_texts_and_what_arrow_refuses():
    assert exact(pa.array([date(2024, 1, 1)]), value_type("UnixTimestamp").arrow).to_pylist() == [
        datetime(2024, 1, 1, tzinfo=UTC)
    ]
    assert exact(pa.array([datetime(2024, 1, 1)]), value_type("UnixTimestamp").arrow).to_pylist() == [
        datetime(2024, 1, 1, tzinfo=UTC)
    ]
    assert exact(pa.array(["a", None]).dictionary_encode(), pa.string()).to_pylist() == ["a", None]
    with pytest.raises(InexactValue, match="in row 1"):
        exact(pa.array([0, 1], pa.timestamp("ns", "UTC")), value_type("UnixTimestamp").arrow)


def test_other_families_are_not_converted():
    assert not convertible(pa.string(), pa.int64())
    assert not convertible(pa.int64(), pa.string())
    assert not convertible(pa.int64(), pa.bool_())
    assert not convertible(value_type("UnixTimestamp").arrow, pa.int64())
