"""Which stored types a column of a declared type is read from, and which would lose data."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from skewless.offline.tables.columns import cast
from skewless.runtime.errors import SourceMismatch

LOSSLESS = [
    (pa.array([1], pa.int8()), pa.int64()),
    (pa.array([1], pa.uint32()), pa.int64()),
    (pa.array([1.5], pa.float16()), pa.float32()),
    (pa.array([1.5], pa.float32()), pa.float64()),
    (pa.array(["a"], pa.large_string()), pa.string()),
    (pa.array(["a"], pa.string_view()), pa.string()),
    (pa.array([b"a"], pa.binary(1)), pa.binary()),
    (pa.array(["a"]).dictionary_encode(), pa.string()),
    (pa.array([1], pa.int16()).dictionary_encode(), pa.int64()),
    (pa.nulls(1), pa.string()),
    (pa.array([date(2013, 10, 1)]), pa.timestamp("us", tz="UTC")),
    (pa.array([1]).cast(pa.timestamp("ms")), pa.timestamp("us", tz="UTC")),
]


@pytest.mark.parametrize(("column", "kind"), LOSSLESS, ids=lambda thing: str(getattr(thing, "type", thing)))
def test_values_that_are_of_the_declared_type_are_taken(column: pa.Array, kind: pa.DataType):
    found = cast("v", "c", pa.chunked_array([column]), kind)
    assert found.type == kind
    assert len(found) == 1


def test_a_time_that_microseconds_do_not_hold_is_refused():
    column = pa.chunked_array([pa.array([1_500]).cast(pa.timestamp("ns", tz="UTC"))])
    with pytest.raises(SourceMismatch, match=r"which does not hold .* in row 1"):
        cast("v", "c", column, pa.timestamp("us", tz="UTC"))
