"""Files that somebody has: CSV, JSON Lines, Parquet; what is wrong in them is named with its row."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.value_types import value_type
from skewless.offline.tables.file_rows import batches
from skewless.offline.tables.row_shape import IngestMismatch

TYPES = {
    name: value_type(kind) for name, kind in {"id": "Int64", "x": "Float64", "ok": "Bool", "name": "String"}.items()
}
CSV = 'id,x,ok,name,at,free\n9007199254740993,0.1,true,,2024-01-01,7\n1.0,,1,"",2024-01-02,NA\n,2,false,NA,,8\n'
LINES = b'{"id": 1, "x": 1, "at": "2024-01-01"}\n\n{"id": null, "name": "\xc3\xbc", "ok": true}\n'


def read(folder: Path, name: str, content: bytes) -> pa.Table:
    (folder / name).write_bytes(content)
    return pa.Table.from_batches(list(batches("orders", folder / name, TYPES, ["at"])))


@pytest.mark.parametrize("name", ["orders.csv", "orders.csv.gz"])
def test_csv_by_its_declared_types(tmp_path: Path, name: str):
    content = CSV.replace("9007199254740993,", "7,").encode()
    found = read(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert found["id"].to_pylist() == [7.0, 1.0, None]
    assert found["x"].to_pylist() == [0.1, None, 2.0]
    assert found["ok"].to_pylist() == [True, True, False]
    assert found["name"].to_pylist() == [None, "", "NA"], "nothing is null, and quoted nothing is a text"
    assert found["at"].to_pylist() == ["2024-01-01", "2024-01-02", None]
    assert found["free"].to_pylist() == ["7", "NA", "8"]


def test_csv_keeps_whole_numbers_beyond_2_to_the_53(tmp_path: Path):
    assert read(tmp_path, "orders.csv", b"id,x\n9007199254740993,1\n")["id"].to_pylist() == [9007199254740993]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_csv_of_a_spreadsheet_may_have_other_marks_between_its_columns(tmp_path: Path, mark: str):
    lines = [["id", "x", "at"], ["7", "0.5", "2024-01-01"], ["8", "1", "a, b"]]
    content = "\n".join(map(mark.join, lines)).encode()
    for name in ("orders.csv", "orders.csv.gz"):
        found = read(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
        assert found.to_pydict() == {"id": [7, 8], "x": [0.5, 1.0], "at": ["2024-01-01", "a, b"]}
    with pytest.raises(IngestMismatch, match=r"'x' has '1,5' in row 1, which is no Float64"):
        read(tmp_path, "orders.csv", f"id{mark}x\n1{mark}1,5\n".encode())


def test_json_lines_may_leave_out_what_is_missing(tmp_path: Path):
    found = read(tmp_path, "orders.jsonl", LINES).to_pylist()
    assert [(row["id"], row["x"], row["ok"], row["name"], row["at"]) for row in found] == [
        (1, 1, None, None, "2024-01-01"),
        (None, None, True, "ü", None),
    ]


def test_parquet_keeps_its_types(tmp_path: Path):
    table = pa.table({"id": pa.array([1], pa.int16())})
    pq.write_table(table, tmp_path / "orders.parquet")
    assert pa.Table.from_batches(list(batches("orders", tmp_path / "orders.parquet", TYPES, []))) == table


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("orders.csv", b"id,x\n1,0.5\n2,abc\n", "column 'x' has 'abc' in row 2, which is no Float64"),
        ("orders.csv", b"id,x\n1\n", "it cannot be read as csv: CSV parse error: Expected 2 columns, got 1"),
        ("orders.csv", b"", "it cannot be read as csv: Empty CSV file"),
        ("orders.jsonl", b'{"id": 1}\n{"id": \n', "line 2 is not JSON: "),
        ("orders.jsonl", b"[1]\n", "line 1 is not an object, as "),
        ("orders.jsonl", b'{"id": 1}\n{"id": "a"}\n', "it cannot be read as jsonl: "),
        ("orders.parquet", b"id,x\n1,2\n", "it cannot be read as parquet: "),
        ("orders.xlsx", b"", "its name does not say what it holds; it may end in .csv, .jsonl, .ndjson, .parquet"),
        ("orders", b"", "its name does not say what it holds"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, name: str, content: bytes, reason: str):
    with pytest.raises(IngestMismatch) as refused:
        read(tmp_path, name, content)
    assert str(refused.value).startswith(f"table 'orders' cannot be ingested from {tmp_path}/{name}: {reason}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    for name in ("orders.csv", "orders.jsonl", "orders.parquet"):
        with pytest.raises(IngestMismatch, match=f"from {tmp_path}/{name}: there is no such file"):
            list(batches("orders", tmp_path / name, TYPES, []))
