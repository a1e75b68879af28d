"""The times of many packed rows are those of each."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.plan import Field
from skewless.contract.storage.row_header import biased_times, event_times, times, whole
from tests.oracles import packed_row
from tests.strategies import rows

SCHEMA = (Field("text", "String"),)
ANY = st.sampled_from([-(2**63), -1, 0, 1, 2**32, 2**63 - 1]) | st.integers(-(2**63), 2**63 - 1)
FOUND = st.none() | st.binary(max_size=30) | rows(SCHEMA, ANY).map(packed_row)


@given(st.lists(FOUND, max_size=6), st.integers(0, 3))
def test_columns_of_rows_tell_what_each_row_tells(found: list[bytes | None], offset: int):
    column = pa.array(found, pa.binary())[offset:]
    told = [one is not None and times(one) is not None for one in found[offset:]]
    assert whole(column).to_pylist() == told
    kept = column.filter(whole(column))
    each = [times(one) for one in kept.to_pylist()]
    assert event_times(kept).tolist() == [one[0] for one in each if one]
    biased = zip(*(side.tolist() for side in biased_times(kept)), strict=True)
    assert [(event - 2**63, created - 2**63) for event, created in biased] == each
