"""The winner of each entity's rows, column-wise, is the one of the slow definition."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from skewless.online.maintenance.newest_of_columns import winners
from tests.oracles import merged
from tests.strategies import MOMENTS, rows
from tests.tables.arrays import packed
from tests.tables.delay_rows import SCHEMA

WRITES = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"cc", b""]), rows(SCHEMA, MOMENTS)), max_size=25)


@given(WRITES, st.integers(0, 2))
def test_of_each_entity_the_newest_row(writes, skipped):
    keys = [key for key, _ in writes]
    values = [packed(SCHEMA, [row])[0] for _, row in writes]
    found, best = winners(pa.array(keys, pa.binary())[skipped:], pa.array(values, pa.binary())[skipped:])
    assert len(found) == len(set(keys[skipped:]))
    pairs = zip(keys[skipped:], values[skipped:], strict=True)
    assert dict(zip(found.to_pylist(), best.to_pylist(), strict=True)) == merged(pairs)
