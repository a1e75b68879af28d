"""Histories out of Parquet: which columns, which types, and what is refused by name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import read_history
from skewless.runtime.errors import SourceMismatch, SourceUnreadable
from tests.tables.delays_table import F4, NOON, VIEW, put, read, source
from tests.tables.histories import instants


def test_a_history(tmp_path: Path):
    put(tmp_path)
    put(tmp_path, "part-1.parquet", origin=[None], mean=pa.nulls(1), count=pa.array([4], pa.int32()), gone=[None])
    found = read(tmp_path)
    assert len(found) == 2
    assert found.keys[0].to_pylist() == ["JFK", None]
    assert [column.to_pylist() for column in found.columns] == [[1.5, None], [3, 4]]
    assert (found.event.tolist(), found.created.tolist()) == ([NOON, NOON], [NOON + 1, NOON + 1])
    assert found.deleted.tolist() == [False, False]


def test_no_files_are_no_rows():
    found = read_history(VIEW, source(Path("/none")), [])
    assert (len(found), len(found.keys[0]), [len(column) for column in found.columns]) == (0, 0, [0, 0])


def test_rows_are_taken_by_place_and_by_mask(tmp_path: Path):
    put(tmp_path, "a.parquet", origin=["JFK"])
    put(tmp_path, "b.parquet", origin=["LGA"])
    found = read(tmp_path)
    assert found.take(np.array([1, 0])).keys[0].to_pylist() == ["LGA", "JFK"]
    assert found.take(np.array([False, True])).keys[0].to_pylist() == ["LGA"]


def test_columns_are_read_under_the_names_of_the_table(tmp_path: Path):
    put(tmp_path, mean=None, origin=None, avg=F4, airport=["LGA"])
    found = read(tmp_path, mean="avg", origin="airport")
    assert (found.keys[0].to_pylist(), found.columns[0].to_pylist()) == (["LGA"], [1.5])
    with pytest.raises(SourceMismatch, match="'avg_' of its source is absent"):
        read(tmp_path, mean="avg_", origin="airport")


def test_without_a_created_time_a_row_is_known_since_its_event(tmp_path: Path):
    put(tmp_path, created_timestamp=None)
    plain = TableSource("delays", tmp_path, "event_timestamp", None)
    assert read_history(VIEW, plain, plain.files()).created.tolist() == [NOON]


def test_a_feature_that_an_older_file_lacks_is_null_there(tmp_path: Path):
    put(tmp_path, "day=2013-10-01/part-0.parquet", count=None)
    put(tmp_path, "day=2013-10-02/part-0.parquet")
    assert read(tmp_path).columns[1].to_pylist() == [None, 3]


@pytest.mark.parametrize(
    ("column", "held", "told"),
    [
        ("mean", None, r"is absent from .*part-0\.parquet, the newest file, which has \['origin', "),
        ("gone", None, "is absent"),
        ("created_timestamp", None, "is absent"),
        (
            "mean",
            pa.array([1e300]),
            "is double and is declared as float, which does not hold 1e.300, in row 1 of .*part-0",
        ),
        ("mean", pa.array([2**24 + 1]), "is int64 and is declared as float, which does not hold 16777217, in row 1 of"),
        ("mean", pa.array(["1.5"]), "is string and is declared as float"),
        (
            "mean",
            pa.array([Decimal("1.1")]),
            (
                r"is decimal128\(2, 1\) and is declared as float \(cast it to DOUBLE in the SQL that makes the table, "
                r"which rounds it, or declare it as Decimal\), which does not hold 1\.1, in row 1 of .*part-0"
            ),
        ),
        ("count", pa.array([2**63], pa.uint64()), "is uint64 and is declared as int64"),
        ("count", pa.array([3.5]), "is double and is declared as int64, which does not hold 3.5, in row 1 of .*part-0"),
        ("count", pa.array([2.0**53]), "is double and is declared as int64, which does not hold 9007199254740992.0"),
        ("count", pa.array([True]), "is bool and is declared as int64"),
        ("origin", pa.array([4.5]), "is double and is declared as string"),
        ("gone", pa.array([2]), "is int64 and is declared as bool, which does not hold 2, in row 1 of"),
        ("gone", pa.array(["true"]), "is string and is declared as bool"),
        ("event_timestamp", pa.array([NOON]), "is int64; it must be a timestamp"),
        ("event_timestamp", pa.array([date(2013, 10, 1)]), "is date32"),
        ("created_timestamp", pa.array(["2013-10-01"]), "is string; it must be a timestamp"),
        (
            "event_timestamp",
            pa.array([None], pa.timestamp("us")),
            r"is null, and each row needs a time, in row 1 of .*part-0\.parquet",
        ),
    ],
)
def test_a_column_that_is_not_as_declared_is_named(tmp_path: Path, column: str, held, told: str):
    put(tmp_path, **{column: held})
    with pytest.raises(SourceMismatch, match=told) as refused:
        read(tmp_path)
    assert (refused.value.view, refused.value.column) == ("delays", column)
    assert "feature view 'delays'" in str(refused.value)


def test_a_type_that_changed_between_files_is_named(tmp_path: Path):
    put(tmp_path, "day=2013-10-01/part-0.parquet", mean=pa.array(["1"]))
    put(tmp_path, "day=2013-10-02/part-0.parquet")
    with pytest.raises(SourceMismatch, match=r"is string and is declared as float \(in .*10-01") as refused:
        read(tmp_path)
    assert refused.value.column == "mean"
    put(tmp_path, "day=2013-10-01/part-0.parquet", event_timestamp=["2013-10-01"])
    with pytest.raises(SourceMismatch, match="is string; it must be a timestamp"):
        read(tmp_path)


def test_values_of_other_types_are_taken_where_they_are_exact(tmp_path: Path):
    mixed = {
        "count": [pa.array([3.0]), pa.array([float("nan")]), pa.array([7], pa.uint64()), pa.array([Decimal(9)])],
        "mean": [pa.array([2**24]), pa.array([Decimal("0.5")]), pa.array([1.5]), F4],
        "gone": [pa.array([1]), pa.array([0.0]), pa.array([None], pa.int8()), pa.array([True])],
        "origin": [
            pa.array(["a"]).cast(pa.string_view()),
            pa.array(["b"]),
            pa.array(["c"], pa.large_string()),
            pa.array(["d"]),
        ],
    }
    for number in range(4):
        put(
            tmp_path,
            f"day=2013-10-0{number + 1}/part-0.parquet",
            **{name: parts[number] for name, parts in mixed.items()},
        )
    found = read(tmp_path)
    assert [column.to_pylist() for column in found.columns] == [[2.0**24, 0.5, 1.5, 1.5], [3, None, 7, 9]]
    assert [column.type for column in found.columns] == [pa.float32(), pa.int64()]
    assert found.deleted.tolist() == [True, False, False, True]
    assert found.keys[0].to_pylist() == ["a", "b", "c", "d"]


def test_a_null_created_time_is_the_event_time_row_by_row(tmp_path: Path):
    times = {
        "event_timestamp": instants([NOON, NOON + 1]),
        "created_timestamp": pa.array([None, NOON + 9]).cast(pa.timestamp("us", "UTC")),
    }
    rows = {"origin": ["JFK"] * 2, "mean": pa.array([1.5] * 2, pa.float32()), "count": [3] * 2, "gone": [False] * 2}
    put(tmp_path, "part-0.parquet", created_timestamp=None)
    put(tmp_path, "part-1.parquet", created_timestamp=pa.nulls(1))
    put(tmp_path, "part-2.parquet", **rows, **times)
    assert read(tmp_path).created.tolist() == [NOON, NOON, NOON, NOON + 9]


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path):
    put(tmp_path, "part-0.parquet")
    (tmp_path / "part-1.parquet").write_text("origin,mean\nJFK,1.5\n")
    with pytest.raises(
        SourceUnreadable, match=r"feature view 'delays' reads .*part-1\.parquet, which is no whole Parquet file"
    ):
        read(tmp_path)


def test_doubles_under_a_float_are_the_nearest_floats(tmp_path: Path):
    put(tmp_path, mean=pa.array([0.1]))
    assert read(tmp_path).columns[0].equals(pa.array([0.1], pa.float32()))
    put(tmp_path, mean=pa.array([float("inf")]))
    assert read(tmp_path).columns[0].to_pylist() == [float("inf")]


def test_whole_numbers_under_a_key_that_is_text_are_their_digits(tmp_path: Path):
    put(tmp_path, origin=pa.array([-7]))
    assert read(tmp_path).keys[0].to_pylist() == ["-7"]


def test_types_may_change_between_files_if_no_value_does(tmp_path: Path):
    put(tmp_path, "day=2013-10-01/part-0.parquet", count=pa.array([2**40]), origin=pa.array(["JFK"], pa.large_string()))
    put(tmp_path, "day=2013-10-02/part-0.parquet", count=pa.array([3], pa.int32()), mean=pa.nulls(1))
    put(tmp_path, "day=2013-10-03/part-0.parquet", event_timestamp=instants([NOON]).cast(pa.timestamp("ns")))
    put(tmp_path, "day=2013-10-04/part-0.parquet", origin=pa.array(["LGA"]).dictionary_encode())
    found = read(tmp_path)
    assert found.keys[0].to_pylist() == ["JFK", "JFK", "JFK", "LGA"]
    assert [column.to_pylist() for column in found.columns] == [[1.5, None, 1.5, 1.5], [2**40, 3, 3, 3]]
    assert found.event.tolist() == [NOON] * 4
