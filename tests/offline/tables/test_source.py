"""Which Parquet files a table is made of, and which of them a time needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.runtime.errors import SourceMissing
from tests.tables.delays_table import DAY, NOON, put, source


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
        with pytest.raises(
            SourceMissing, match=rf"'delays' reads .*; run `skewless ingest {place.name}` .if nothing declares"
        ):
            source(place).files()
