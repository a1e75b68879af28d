"""Row groups of files that change under a reader."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.offline.files.parquet_reader import ParquetTable
from skewless.runtime.errors import TableRewritten


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": range(6)}), path, row_group_size=3)
    return path


def read(table: ParquetTable) -> list[int]:
    return [
        value
        for group in table.row_groups
        for batch in table.batches(group, ["a"], 2)
        for value in batch.columns["a"].to_pylist()
    ]


def test_rows_are_numbered_through_the_files(file):
    table = ParquetTable([file, file], ["a"], "event_timestamp")
    assert [group.first for group in table.row_groups] == [0, 3, 6, 9]
    assert read(table) == [*range(6), *range(6)]


def test_a_file_that_was_replaced_is_refused(file):
    table = ParquetTable([file], ["a"], "event_timestamp")
    pq.write_table(pa.table({"a": range(6)}), other := file.with_name(".other"), row_group_size=3)
    other.replace(file)
    with pytest.raises(TableRewritten, match="run this again"):
        read(table)


def test_a_file_that_was_removed_is_named(file):
    table = ParquetTable([file], ["a"], "event_timestamp")
    file.unlink()
    with pytest.raises(TableRewritten, match=r"table\.parquet"):
        read(table)
    with pytest.raises(TableRewritten):
        ParquetTable([file], ["a"], "event_timestamp")
