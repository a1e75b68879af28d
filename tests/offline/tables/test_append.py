"""Rows appended to tables of every shape: all there once, nothing that was there written again."""

from __future__ import annotations

import multiprocessing
import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.offline.tables.append import append
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows, read_history
from skewless.runtime.errors import SourceMismatch

US = pa.timestamp("us", "UTC")
DAY = 86_400_000_000
NOON = 1_380_628_800_000_000
FIELDS = (Field("mean", "Float32"), Field("count", "Int64"))
VIEW = PlanView("delays", "delays", (JoinKey("origin", "origin", "String"),), FIELDS, 0, "created_timestamp")


def rows(*events: int, **columns) -> pa.Table:
    instants = pa.array(events, pa.int64()).cast(US)
    whole = {
        "origin": ["JFK"] * len(events),
        "mean": pa.array([0.1] * len(events), pa.float32()),
        "count": list(range(len(events))),
        "event_timestamp": instants,
        "created_timestamp": instants,
    } | columns
    return pa.table({name: column for name, column in whole.items() if column is not None})


def source(path: Path) -> TableSource:
    return TableSource("delays", path, "event_timestamp", "created_timestamp")


def read(path: Path) -> ViewRows:
    return read_history(VIEW, source(path), source(path).files())


@pytest.fixture(params=["nothing", "folder", "days", "file"])
def table(request, tmp_path: Path) -> Path:
    """A table of one row at NOON, or none yet."""
    path = tmp_path / "deep" / "delays"
    first = {
        "nothing": None,
        "folder": path / "part-0.parquet",
        "days": path / "day=2013-10-01" / "part-0.parquet",
        "file": path.with_suffix(".parquet"),
    }[request.param]
    if first is not None:
        first.parent.mkdir(parents=True)
        pq.write_table(rows(NOON), first)
    return first if request.param == "file" else path


def test_rows_are_added_and_no_file_is_touched(table: Path):
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in table.parent.rglob("*.parquet")}
    had = len(read(table)) if before else 0
    append(source(table), rows(NOON + 1, NOON + DAY, NOON + 2), now=NOON)
    append(source(table), rows(NOON + 3), now=NOON)
    found = read(table)
    added = [NOON + 1, NOON + 2, NOON + 3, NOON + DAY]
    assert sorted(found.event.tolist()) == [NOON] * had + added
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in before} == before
    assert not list(table.parent.rglob(".*"))


def test_a_table_in_days_stays_one(tmp_path: Path):
    pq.write_to_dataset(rows(NOON), tmp_path / "delays" / "day=2013-10-01")
    files = append(source(tmp_path / "delays"), rows(NOON + DAY, NOON, -1), now=NOON)
    assert [file.parent.name for file in files] == ["day=1969-12-31", "day=2013-10-01", "day=2013-10-02"]
    hive = pa.dataset.dataset(tmp_path / "delays", partitioning="hive").to_table().sort_by("event_timestamp")
    assert hive["day"].to_pylist() == ["1969-12-31", "2013-10-01", "2013-10-01", "2013-10-02"]


def test_the_same_rows_are_there_once(table: Path):
    first = append(source(table), rows(NOON + 1, NOON + DAY), now=NOON)
    assert append(source(table), rows(NOON + 1, NOON + DAY), now=NOON) == first
    assert read(table).event.tolist().count(NOON + 1) == 1


def test_no_rows_are_no_file(table: Path):
    assert append(source(table), rows(), now=NOON) == []


def test_values_get_the_types_of_the_table(table: Path):
    lacking = rows(NOON + 1, NOON + 2, mean=[1.5, 0.1], count=pa.array([np.nan, 2.0]))
    append(source(table), lacking, VIEW, now=NOON)
    found = read(table)
    mine = found.take(found.event > NOON)
    assert mine.columns[0].to_pylist() == [1.5, float(np.float32(0.1))]
    assert mine.columns[1].to_pylist() == [None, 2]


def test_columns_come_and_go(table: Path):
    append(source(table), rows(NOON + 1, remark=["new"]), now=NOON)
    append(source(table), rows(NOON + 2), now=NOON)
    newest = pq.read_table(source(table).files()[-1], partitioning=None)
    assert newest["remark"].to_pylist() == [None]
    assert len(read(table)) >= 2


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"event_timestamp": None}, "'event_timestamp' of its source is absent from the rows"),
        ({"event_timestamp": [date(2013, 10, 1)]}, "is date32"),
        ({"event_timestamp": ["2013-10-01"]}, "must be a timestamp"),
        ({"mean": ["0.1"]}, "string in the rows"),
        ({"count": [0.5]}, "double in the rows"),
        ({"count": [2.0**70]}, "double in the rows"),
        ({"count": [True]}, "bool in the rows"),
        ({"count": None}, "'count' of its source is absent from the rows"),
        ({"origin": [3]}, "int64 in the rows"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(table: Path, columns, said):
    before = sorted(table.parent.rglob("*"))
    with pytest.raises(SourceMismatch, match=said):
        append(source(table), rows(NOON, **columns), VIEW, now=NOON)
    assert sorted(table.parent.rglob("*")) == before


def test_a_row_without_created_time_is_known_since_its_event(table: Path):
    append(source(table), rows(NOON + 5, created_timestamp=pa.nulls(1, US)), VIEW, now=NOON)
    found = read(table)
    assert (NOON + 5, NOON + 5) in set(zip(found.event.tolist(), found.created.tolist(), strict=True))


def test_rows_go_to_a_table_of_another_type_as_the_same_values_or_not_at_all(tmp_path: Path):
    """A table whose columns are not of the declared types: the rows that are appended are read as they were given."""
    loose = {"count": pa.array([1.0]), "mean": pa.array([Decimal("0.50")], pa.decimal128(9, 2))}
    pq.write_table(rows(NOON, **loose), tmp_path / "part-0.parquet")
    append(source(tmp_path), rows(NOON + 1, count=[2**53 - 1], mean=pa.array([0.25], pa.float32())), VIEW, now=NOON)
    assert [column.to_pylist() for column in read(tmp_path).columns] == [[0.5, 0.25], [1, 2**53 - 1]]
    for wrong in ({"count": [2**53 + 1]}, {"mean": pa.array([0.125], pa.float32())}):
        given = {"mean": pa.array([0.25], pa.float32())} | wrong
        with pytest.raises(SourceMismatch, match="in the table"):
            append(source(tmp_path), rows(NOON + 2, **given), VIEW, now=NOON)


@pytest.mark.parametrize("table", ["days"], indirect=True)
def test_rows_with_views_of_texts_are_appended_to_tables_of_them(table: Path):
    file = source(table).files()[-1]
    stored = pq.ParquetFile(file).read()
    views = pa.array(stored["origin"].to_pylist()).cast(pa.string_view())
    pq.write_table(stored.set_column(stored.column_names.index("origin"), "origin", views), file)
    for event in (NOON + 1, NOON + DAY):
        origin = pa.array(["JFK"]).cast(pa.string_view())
        append(source(table), rows(event, origin=origin, remark=origin), VIEW, now=NOON)
    assert read(table).keys[0].to_pylist() == ["JFK"] * 3


def test_a_write_that_fails_leaves_nothing(table: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    files = set(table.parent.rglob("*.parquet"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append(source(table), rows(NOON + 1), now=NOON)
    assert {file for file in table.parent.rglob("*") if file.is_file()} == files


def _append_some(path: Path, writer: int) -> None:
    for turn in range(10):
        append(source(path), rows(NOON + writer * 100 + turn), now=NOON)


def test_writers_side_by_side_lose_nothing(tmp_path: Path):
    start = multiprocessing.get_context("spawn")
    writers = [start.Process(target=_append_some, args=(tmp_path / "delays", number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert sorted(read(tmp_path / "delays").event) == [NOON + w * 100 + t for w in range(3) for t in range(10)]
