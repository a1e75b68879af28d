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
from skewless.runtime.errors import EmptyWindow, SpineMismatch, SpineMissing, SpineUnreadable
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


YEAR = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)
ZONED = pa.timestamp("us", "UTC")


def test_no_files_are_no_spine(tmp_path: Path):
    for path in (tmp_path, tmp_path / "months.parquet"):
        with pytest.raises(SpineMissing, match=f"^there is no spine at {path}; fill that table with `skewless ingest`"):
            SpineFiles(path, *YEAR)


@pytest.mark.parametrize("content", [b"not Parquet at all, and long enough", b""])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "months.parquet").write_bytes(content)
    with pytest.raises(SpineUnreadable, match=r"cannot be read.*a spine is Parquet, or a file that ends in \.csv"):
        SpineFiles(tmp_path / "months.parquet", *YEAR)


def test_views_of_texts_are_read(tmp_path: Path):
    texts = pa.array(["a", None]).cast(pa.string_view())
    table = pa.table({TIMESTAMP: pa.array([YEAR[0]] * 2, ZONED), "key": texts, "tags": pa.array([["a"], None])})
    pq.write_table(table, tmp_path / "a.parquet")
    found = SpineFiles(tmp_path, *YEAR).table()
    assert [found[name].to_pylist() for name in ("key", "tags")] == [["a", None], [["a"], None]]


def test_a_window_without_rows_says_which_times_are_there(tmp_path: Path):
    times = [datetime(2012, 3, day, 5, tzinfo=UTC) for day in (2, 7, 4)]
    pq.write_table(pa.table({TIMESTAMP: pa.array(times, ZONED)}), tmp_path / "a.parquet")
    SpineFiles(tmp_path, datetime(2012, 3, 7, tzinfo=UTC), datetime(2012, 3, 8, tzinfo=UTC)).require_rows()
    with pytest.raises(EmptyWindow) as refused:
        SpineFiles(tmp_path, *YEAR).require_rows()
    assert str(refused.value).startswith(
        f"the spine {tmp_path} has no row from 2013-01-01T00:00:00+00:00 until 2014-01-01T00:00:00+00:00: its rows are "
        "from 2012-03-02T05:00:00+00:00 to 2012-03-07T05:00:00+00:00; choose other windows"
    )
    pq.write_table(pa.table({TIMESTAMP: pa.array([], ZONED)}), tmp_path / "a.parquet")
    with pytest.raises(EmptyWindow, match="it has no rows at all"):
        SpineFiles(tmp_path, *YEAR).require_rows()


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("kind", [ZONED, pa.timestamp("ns"), pa.timestamp("s")])
def test_rows_without_a_time_are_refused_by_number(tmp_path: Path, statistics: bool, kind: pa.DataType):
    good = pa.array([datetime(2013, 3, 2, tzinfo=UTC)] * 3, ZONED).cast(kind)
    bad = (
        pa.array([None, datetime(2013, 3, 2), *[None] * 6], pa.timestamp("us")).cast(pa.timestamp(kind.unit)).cast(kind)
    )
    pq.write_table(pa.table({TIMESTAMP: good}), tmp_path / "a.parquet", write_statistics=statistics)
    SpineFiles(tmp_path, *YEAR)
    pq.write_table(pa.table({TIMESTAMP: bad}), tmp_path / "b.parquet", write_statistics=statistics, row_group_size=3)
    with pytest.raises(SpineMismatch) as refused:
        SpineFiles(tmp_path, *YEAR)
    assert str(refused.value) == (
        "the spine's column 'event_timestamp' is null in rows 0, 2, 3, 4, 5 and 2 more (counted from 0) of "
        f"{tmp_path}/b.parquet; each row needs a time"
    )
