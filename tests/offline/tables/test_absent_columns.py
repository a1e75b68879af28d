"""Columns that files of a table lack: null where they were added later, refused where a value may have been forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from skewless.contract.storage.part_files import FOLDED, part_name
from skewless.offline.tables.absent_columns import absent_columns, column_names, newest_files
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import absent_from, unreadable_reason
from skewless.runtime.errors import SourceMismatch
from tests.tables.delays_table import VIEW, put, read, source

OLD, NEW = part_name(1_000, "a"), part_name(2_000, "b")


def counts(folder: Path) -> list[int | None]:
    return read(folder).columns[1].to_pylist()


def test_what_was_pushed_before_a_feature_existed_has_no_value_for_it(tmp_path: Path):
    put(tmp_path, OLD, count=None)
    assert counts(tmp_path) == [None], "nothing was pushed since, which is no mistake"
    put(tmp_path, NEW)
    assert counts(tmp_path) == [None, 3]
    put(tmp_path, "part-0.parquet")
    assert counts(tmp_path) == [3, None, 3]


@pytest.mark.parametrize("older", [OLD, f"day=2013-10-01/{FOLDED}", f"day=2013-10-09/{OLD}"])
def test_an_older_part_does_not_say_what_the_table_has_now(tmp_path: Path, older: str):
    """The table was written anew with the feature; parts of before are read after it."""
    put(tmp_path, "day=2013-10-01/part-0.parquet")
    put(tmp_path, older, count=None)
    assert sorted(counts(tmp_path), key=str) == [3, None]


def test_a_table_whose_rows_get_a_feature_by_pushes_alone(tmp_path: Path):
    put(tmp_path, "part-0.parquet", count=None)
    with pytest.raises(SourceMismatch, match=r"'count'.* absent from .*part-0.*; no other file has it either"):
        read(tmp_path)
    put(tmp_path, NEW)
    assert counts(tmp_path) == [None, 3]


def test_a_column_that_the_newest_file_lost_is_refused(tmp_path: Path):
    put(tmp_path, "day=2013-10-01/part-0.parquet")
    put(tmp_path, "day=2013-10-02/part-0.parquet", count=None)
    put(tmp_path, "day=2013-10-02/" + NEW)
    with pytest.raises(SourceMismatch, match=r"absent from .*10-02/part-0.*; .*10-01/part-0.*, an older file, has it"):
        read(tmp_path)


def test_rows_before_a_key_existed_belong_to_no_entity(tmp_path: Path):
    put(tmp_path, OLD, origin=None)
    put(tmp_path, NEW)
    assert read(tmp_path).keys[0].to_pylist() == [None, "JFK"]


def test_each_file_has_the_time(tmp_path: Path):
    put(tmp_path, OLD, event_timestamp=None)
    put(tmp_path, NEW)
    with pytest.raises(SourceMismatch, match=f"'event_timestamp' of its source is absent from .*{OLD}; each row needs"):
        read(tmp_path)


def test_it_is_told(tmp_path: Path):
    put(tmp_path, OLD, count=None, mean=None)
    put(tmp_path, NEW)
    mean, count = absent_from(VIEW, source(tmp_path), source(tmp_path).files())
    assert (mean.column, count.column, count.files, count.of, count.latest.name) == ("mean", "count", 1, 2, OLD)
    assert "column 'count' is absent from 1 of the 2 files that were read" in str(count)


def test_rows_that_are_pushed_under_a_newer_definition_do_not_overwrite_what_an_old_one_has(tmp_path: Path):
    """A superseded definition reads a feature that the current one, by which rows are pushed, has not any more."""
    put(tmp_path, OLD)
    put(tmp_path, NEW, count=None)
    superseded = replace(source(tmp_path), superseded=True)
    reason = f"column 'count' of its source is absent from .*{NEW}, the newest file.*{OLD}, an older file, has it"
    with pytest.raises(SourceMismatch, match=reason):
        absent_from(VIEW, superseded, superseded.files())
    assert unreadable_reason(VIEW, superseded) is not None
    put(tmp_path, part_name(3_000, "c"))
    assert unreadable_reason(VIEW, superseded) is None


def test_the_newest_files(tmp_path: Path):
    put(tmp_path, f"day=2013-10-01/{NEW}")
    put(tmp_path, f"day=2013-10-02/{OLD}")
    put(tmp_path, "day=2013-10-01/part-0.parquet")
    assert [file.name for file in newest_files(source(tmp_path))] == ["part-0.parquet", NEW]


def test_a_delta_table_says_by_its_log_which_columns_it_has(tmp_path: Path):
    folder = tmp_path / "told"
    rows = {"k": ["a"], "event_timestamp": pa.array([1], pa.timestamp("us", "UTC"))}
    write_deltalake(folder, pa.table(rows))
    table = TableSource("told", folder, "event_timestamp", None)

    def absent() -> list[str]:
        named = [(file, column_names("told", file)) for file in table.files()]
        return [one.column for one in absent_columns(table, named, ["k", "gate"])]

    with pytest.raises(SourceMismatch, match="'gate' of its source is absent from the Delta table"):
        absent()
    for _ in range(3):
        write_deltalake(folder, pa.table(rows | {"gate": [7]}), mode="append", schema_mode="merge")
    assert absent() == ["gate"], "whatever the order of the files' names"
