"""The historical benchmark's pieces work, so that its numbers can be believed. The benchmark is `make bench-history`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bench.history import contenders as c
from tests.bench.history import run as runs
from tests.bench.history.report import MARK, bars, markdown
from tests.bench.history.workload import (
    CREATED,
    EVENT,
    KEY,
    ROW_ID,
    features,
    right_answers,
    sample_of,
    write_spine,
    write_tables,
    wrong_rows,
)

PAGE = Path(__file__).parents[2] / "infra" / "docs" / "results.md"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    write_tables(folder / "tables", 200_000)
    write_spine(folder / "spine.parquet", 500)
    return folder


@pytest.mark.parametrize("name", [c.OURS, c.POLARS, c.SCAN])
def test_a_contender_is_right_and_tells_its_time_and_memory(world: Path, name: str):
    told = runs._one(name, world / "tables", world / "spine.parquet", 100)
    assert told["seconds"] > 0
    assert told["peak_bytes"] > 50_000_000
    if name != c.SCAN:
        right = right_answers(world / "tables", sample_of(pq.read_table(world / "spine.parquet")))
        assert told["rows"] == 500
        assert wrong_rows(right, told["sample"]) == 0
        assert any(value is not None for answer in right.values() for value in answer)


def test_a_lost_a_doubled_and_a_changed_row_are_wrong(world: Path):
    sample = sample_of(pq.read_table(world / "spine.parquet"))
    right = right_answers(world / "tables", sample)
    names = [name for view in ("first", "second", "third") for name in features(view)]
    table = pa.table({ROW_ID: list(right)} | dict(zip(names, zip(*right.values(), strict=True), strict=True)))
    assert wrong_rows(right, table) == 0
    assert wrong_rows(right, table.slice(1)) == 1
    assert wrong_rows(right, pa.concat_tables([table, table.slice(0, 2)])) == 2
    changed = table.set_column(1, names[0], pa.nulls(len(table), pa.float64()))
    assert 0 < wrong_rows(right, changed) <= len(table)


def test_some_rows_of_the_tables_are_tied(world: Path):
    table = pq.read_table(world / "tables" / "first.parquet", columns=[KEY, EVENT, CREATED])
    tied = len(table) - table.group_by([KEY, EVENT]).aggregate([]).num_rows
    assert 0.003 < tied / len(table) < 0.007
    assert table.group_by([KEY, EVENT, CREATED]).aggregate([]).num_rows == len(table)


def test_a_contender_that_fails_is_told(world: Path, tmp_path: Path):
    told = runs._one(c.POLARS, tmp_path / "nowhere", world / "spine.parquet", 100)
    assert "No such file" in told["failed"]
    assert "failed" in runs._one(c.POLARS, world / "tables", world / "spine.parquet", 0.01)


def test_the_report_shows_wrong_results_and_judges_the_bars():
    one = {"table": 10**7, "spine": 10**6, "seconds": 4.0, "peak_bytes": 10**9}
    results = {
        "command": "make bench-history",
        "date": "2026-11-22",
        "machine": {"cpu": "x", "cores": 2},
        "versions": {},
        "rounds": 3,
        "cases": [{"table": 10**7, "spine": 10**6}],
        "measured": [
            one | {"contender": c.OURS, "wrong": 0, "lost_rows": 0},
            one | {"contender": c.FEAST_DUCKDB, "seconds": 40.0, "peak_bytes": 10**10, "wrong": 3, "lost_rows": 7},
            {"table": 10**7, "spine": 10**6, "contender": c.POLARS, "failed": "killed"},
        ],
    }
    told = markdown(results)
    assert "40.00 / 10.00 **loses 7 rows** **WRONG in 3 of 200**" in told
    assert "failed: killed" in told
    assert [(bar.found, bar.reached) for bar in bars(results)] == [(10.0, True), (0.1, True)]


def test_the_readme_has_a_place_for_the_tables():
    assert MARK.search(PAGE.read_text())
