"""Histories out of Parquet: which files, which columns, which types, and what is refused by name."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.offline.tables.view_rows import TableSource, cast, read_history
from skewless.runtime.errors import SourceMismatch, SourceMissing
from tests.tables.histories import instants

NOON = 1_380_628_800_000_000
DAY = 86_400_000_000
VIEW = PlanView(
    "delays",
    "delays",
    (JoinKey("origin", "origin", "String"),),
    (Field("mean", "Float32"), Field("count", "Int64")),
    0,
    "created_timestamp",
    "gone",
)
F4 = pa.array([1.5], pa.float32())


def put(folder: Path, name: str = "part-0.parquet", **columns) -> Path:
    whole = {
        "origin": ["JFK"],
        "mean": F4,
        "count": [3],
        "gone": [False],
        "event_timestamp": instants([NOON]),
        "created_timestamp": instants([NOON + 1]),
    } | columns
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: column for name, column in whole.items() if column is not None}), file)
    return file


def source(path: Path, **renamed: str) -> TableSource:
    return TableSource("delays", path, "event_timestamp", "created_timestamp", tuple(renamed.items()))


def read(folder: Path, **renamed: str):
    return read_history(VIEW, source(folder, **renamed), source(folder).files())


def test_partitions_after_an_instant_are_pruned(tmp_path: Path):
    days = [put(tmp_path, f"day={day}/part-0.parquet") for day in ("1969-12-31", "2013-10-01", "2013-10-02")]
    assert source(tmp_path).files() == days
    assert source(tmp_path).files(until=NOON) == days[:2]
    assert source(tmp_path).files(until=NOON - NOON % DAY - 1) == days[:1]
    assert source(tmp_path).files(until=NOON + DAY) == days
    assert source(tmp_path).files(until=-1) == days[:1]
    assert source(tmp_path).files(until=-DAY - 1) == []
    assert source(tmp_path).files(until=2**63 - 1) == days


def test_only_the_tables_own_folders_are_partitions(tmp_path: Path):
    folder = tmp_path / "day=2099-01-01" / "delays"
    files = [put(folder, "day=2013-10-01/part-0.parquet"), put(folder, "day=unknown/part-0.parquet")]
    assert source(folder).files(until=NOON) == files


def test_what_is_being_written_does_not_count(tmp_path: Path):
    done = put(tmp_path, "day=2013-10-01/part-0.parquet")
    for unfinished in (".part-1.parquet", "_part.parquet", ".building/part-2.parquet", "_temporary/0/part-3.parquet"):
        put(tmp_path, f"day=2013-10-01/{unfinished}")
    (tmp_path / "day=2013-10-01" / "part.parquet.crc").write_text("")
    named = put(tmp_path, "day=2013-10-01/_hour=1/part-0.parquet")
    assert source(tmp_path).files() == [named, done]


def test_a_folder_may_be_called_like_a_file(tmp_path: Path):
    inside = put(tmp_path, "delays.parquet/part-0.parquet")
    assert source(tmp_path).files() == [inside]
    assert source(tmp_path / "delays.parquet").files() == [inside]
    assert source(inside).files(until=0) == [inside]


def test_a_table_that_is_not_there_is_named(tmp_path: Path):
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SourceMissing, match=r"'delays' reads .* `skewless ingest`"):
            source(place).files()


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
        ("mean", None, r"is absent; the table has \['origin', "),
        ("gone", None, "is absent"),
        ("created_timestamp", None, "is absent"),
        ("mean", pa.array([1e300]), "is double and is declared as float, which its greatest values exceed"),
        ("mean", pa.array([1]), "is int64 and is declared as float"),
        ("mean", pa.array(["1.5"]), "is string and is declared as float"),
        ("mean", pa.array([Decimal("1.5")]), r"is decimal128\(2, 1\) and is declared as float"),
        ("count", pa.array([2**63], pa.uint64()), "is uint64 and is declared as int64"),
        ("count", pa.array([3.0]), "is double and is declared as int64"),
        ("count", pa.array([True]), "is bool and is declared as int64"),
        ("origin", pa.array([4.5]), "is double and is declared as string"),
        ("gone", pa.array([1]), "is int64 and is declared as bool"),
        ("gone", pa.array(["true"]), "is string and is declared as bool"),
        ("event_timestamp", pa.array([NOON]), "is int64; it must be a timestamp"),
        ("event_timestamp", pa.array([date(2013, 10, 1)]), "is date32"),
        ("created_timestamp", pa.array(["2013-10-01"]), "is string; it must be a timestamp"),
        ("event_timestamp", pa.array([None], pa.timestamp("us")), "is null in 1 rows; each row needs a time"),
        ("created_timestamp", pa.array([None], pa.timestamp("ns", tz="UTC")), "is null in 1 rows"),
    ],
)
def test_a_column_that_is_not_as_declared_is_named(tmp_path: Path, column: str, held, told: str):
    put(tmp_path, **{column: held})
    with pytest.raises(SourceMismatch, match=told) as refused:
        read(tmp_path)
    assert (refused.value.view, refused.value.column) == ("delays", column)
    assert "feature view 'delays'" in str(refused.value)


def test_a_type_that_changed_between_files_is_named(tmp_path: Path):
    put(tmp_path, "day=2013-10-01/part-0.parquet", mean=pa.array([1]))
    put(tmp_path, "day=2013-10-02/part-0.parquet")
    with pytest.raises(SourceMismatch, match=r"is int64 and is declared as float \(in .*10-01") as refused:
        read(tmp_path)
    assert refused.value.column == "mean"
    put(tmp_path, "day=2013-10-01/part-0.parquet", event_timestamp=["2013-10-01"])
    with pytest.raises(SourceMismatch, match="does not have one type in all files"):
        read(tmp_path)


def test_doubles_under_a_float_are_the_nearest_floats(tmp_path: Path):
    put(tmp_path, mean=pa.array([0.1]))
    assert read(tmp_path).columns[0].equals(pa.array([0.1], pa.float32()))
    put(tmp_path, mean=pa.array([float("inf")]))
    assert read(tmp_path).columns[0].to_pylist() == [float("inf")]


def test_whole_numbers_under_a_key_that_is_text_are_their_digits(tmp_path: Path):
    put(tmp_path, origin=pa.array([-7]))
    assert read(tmp_path).keys[0].to_pylist() == ["-7"]


def test_maps_of_two_types_in_one_table_are_refused(tmp_path: Path):
    mapped = msgspec.structs.replace(VIEW, fields=(Field("shares", "Map"),))
    put(tmp_path, "part-0.parquet", shares=pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())))
    put(tmp_path, "part-1.parquet", shares=pa.array([[("a", "x")]], pa.map_(pa.string(), pa.string())))
    with pytest.raises(SourceMismatch, match="'shares' of its source must have one type in all files"):
        read_history(mapped, source(tmp_path), source(tmp_path).files())


def test_types_may_change_between_files_if_no_value_does(tmp_path: Path):
    put(tmp_path, "day=2013-10-01/part-0.parquet", count=pa.array([2**40]), origin=pa.array(["JFK"], pa.large_string()))
    put(tmp_path, "day=2013-10-02/part-0.parquet", count=pa.array([3], pa.int32()), mean=pa.nulls(1))
    put(tmp_path, "day=2013-10-03/part-0.parquet", event_timestamp=instants([NOON]).cast(pa.timestamp("ns")))
    put(tmp_path, "day=2013-10-04/part-0.parquet", origin=pa.array(["LGA"]).dictionary_encode())
    found = read(tmp_path)
    assert found.keys[0].to_pylist() == ["JFK", "JFK", "JFK", "LGA"]
    assert [column.to_pylist() for column in found.columns] == [[1.5, None, 1.5, 1.5], [2**40, 3, 3, 3]]
    assert found.event.tolist() == [NOON] * 4


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
    with pytest.raises(SourceMismatch, match="lose data"):
        cast("v", "c", column, pa.timestamp("us", tz="UTC"))
