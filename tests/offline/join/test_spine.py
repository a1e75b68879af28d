"""A spine on disk in slices of time: the same rows in the same order as read whole, whatever the slices."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.contract.timestamps import from_micros
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.join.spine import SpineFiles
from skewless.runtime.errors import SourceMissing
from tests.tables.histories import instants

NOON = 1_380_628_800_000_000
OFFSETS = st.one_of(st.integers(0, 3), st.integers(0, 10**6), st.integers(0, 10**14))


@settings(max_examples=100)
@given(st.lists(st.lists(OFFSETS, max_size=8), min_size=1, max_size=3), st.integers(1, 5), OFFSETS)
def test_slices_are_the_whole(files, rows, last):
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        for place, offsets in enumerate(files):
            times = instants([NOON + offset for offset in offsets])
            ids = pa.array(range(number, number + len(offsets)), pa.int64())
            number += len(offsets)
            pq.write_table(pa.table({TIMESTAMP: times, "id": ids}), Path(folder) / f"{place}.parquet", row_group_size=2)
        spine = SpineFiles(Path(folder), from_micros(NOON), from_micros(NOON + last))
        whole = spine.table()
        parts = list(spine.parts(rows))
    assert all(0 < len(part) <= rows for part in parts)
    assert [row for part in parts for row in part.to_pylist()] == whole.to_pylist()
    every = [offset for offsets in files for offset in offsets]
    expected = [number for _, number in sorted((offset, place) for place, offset in enumerate(every) if offset < last)]
    assert whole.column("id").to_pylist() == expected


def test_no_files_are_no_spine(tmp_path: Path):
    with pytest.raises(SourceMissing, match="spine"):
        SpineFiles(tmp_path, datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC))
