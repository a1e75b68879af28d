"""The header's facts agree with each other, and the times of many packed rows are those of each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.admission import MISSING
from skewless.contract.plan import Field
from skewless.contract.storage import row_header
from skewless.contract.storage.packed_row import fingerprint
from skewless.contract.storage.row_header import (
    biased,
    biased_times,
    event_times,
    times,
    times_in_orders,
    unbiased,
    whole,
)
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


@given(rows(SCHEMA, ANY))
def test_the_parts_of_a_header(row):
    packed = packed_row(row)
    assert times(packed) == (row.event, row.created)
    assert packed[row_header.SCHEMA] == fingerprint(SCHEMA)
    assert packed[row_header.ORDER] + packed[row_header.FORM] == packed[: row_header.HEADER_WIDTH]
    assert packed[row_header.SCHEMA] + packed[row_header.FLAGS] == packed[row_header.FORM]
    (flags,) = packed[row_header.FLAGS]
    assert bool(row_header.tombstones(np.array([flags], np.uint8))[0]) is row.deleted
    living = row_header.living(packed[row_header.FORM])
    assert (living[:4], living[4]) == (fingerprint(SCHEMA), row_header.LIVING[flags])
    record = np.frombuffer(packed[: row_header.HEADER_WIDTH], np.dtype([*row_header.HEADER_FIELDS]))
    assert (unbiased(record["event"])[0], unbiased(record["created"])[0]) == (row.event, row.created)
    assert (record["flags"][0], record["schema"][0].tobytes()) == (flags, fingerprint(SCHEMA))


@given(st.lists(st.tuples(ANY, ANY), max_size=5))
def test_orders_end_to_end(pairs):
    instants = np.array(pairs, np.int64).reshape(-1, 2)
    orders = biased(instants).astype(">u8").tobytes()
    assert times_in_orders(orders).tolist() == instants.tolist()
    apart = row_header.order_struct(len(pairs)).unpack(orders)
    assert [time - row_header.BIAS for time in apart] == instants.ravel().tolist()
    assert sorted(orders[at : at + 16] for at in range(0, len(orders), 16)) == [
        biased(np.array(pair, np.int64)).astype(">u8").tobytes() for pair in sorted(map(tuple, instants.tolist()))
    ]


def test_no_row_has_the_latest_of_all_times():
    assert times_in_orders(row_header.NO_ORDER).tolist() == [[MISSING, MISSING]]


def test_flags_that_no_row_has():
    known = {flags: row_header.LIVING_FLAGS[flags] for flags in range(256) if flags in row_header.LIVING}
    assert known == row_header.LIVING
    assert {*row_header.LIVING_FLAGS.tolist()} == {*row_header.LIVING.values(), row_header.UNKNOWN_FLAGS}
    assert row_header.UNKNOWN_FLAGS not in row_header.LIVING
    assert row_header.living(b"abcd\x40") == b"abcd\x40"
