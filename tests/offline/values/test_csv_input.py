"""The same CSV file is the same values wherever it is read: as a table's rows, as a spine, as pushed rows, as outcomes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from skewless.contract.value_types import value_type
from skewless.monitoring.served_log import ground_truth
from skewless.offline.join import csv_spine
from skewless.offline.tables import file_rows
from skewless.offline.values.csv_input import read_csv

TYPES = {"country": "String", "shop": "Int64", "vip": "Bool", "x": "Float64"}
LINES = [
    ["event_timestamp", "country", "shop", "vip", "x", "note"],
    ["2024-01-01", "NA", "7", "true", "0.5", "null"],
    ["2024-01-02", "null", "8.0", "0", "1", "a"],
    ["2024-01-03", "", "", "", "", ""],
    ["2024-01-04", '""', "9", "false", "nan", '""'],
]


@pytest.fixture(params=[",", ";", "\t"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress("\n".join(map(request.param.join, LINES)).encode()))
    return path


def test_a_spine_reads_what_ingest_reads(file: Path):
    kinds = {name: value_type(dtype) for name, dtype in TYPES.items()}
    ingested = pa.Table.from_batches(file_rows.batches("rows", file, kinds, ["event_timestamp"]))
    spine = csv_spine.read_csv(file, {name: kind.arrow for name, kind in kinds.items()})
    assert spine.column("country").to_pylist() == ["NA", "null", None, ""]
    assert spine.column("note").to_pylist() == ["null", "a", None, ""]
    for name in ("country", "shop", "vip", "note"):
        assert spine.column(name).to_pylist() == ingested.column(name).to_pylist(), name
    assert str(spine.column("x").to_pylist()) == str(ingested.column("x").to_pylist()) == "[0.5, 1.0, None, nan]"


def test_whole_numbers_may_be_written_as_doubles(tmp_path: Path):
    """pandas writes a column of whole numbers so, once a value of it is missing."""
    path = tmp_path / "rows.csv"
    path.write_text("shop\n7.0\n8.0\n")
    assert csv_spine.read_csv(path, {"shop": pa.int32()}).column("shop").to_pylist() == [7, 8]
    path.write_text("shop\n7.0\n8.5\n")
    with pytest.raises(csv_spine.SpineMismatch, match=r"'shop' is 8.5 in row 1 \(counted from 0\), which is no int32"):
        csv_spine.read_csv(path, {"shop": pa.int32()})


def test_outcomes_and_pushed_content_are_read_so_too(tmp_path: Path):
    path = tmp_path / "outcomes.csv"
    path.write_text("request_id;label\nNA;1\n007;0\n")
    assert ground_truth.read(path).column("request_id").to_pylist() == ["NA", "007"]
    assert read_csv(b"a\tb\nNA\t\n", {}).to_pylist() == [{"a": "NA", "b": None}]
