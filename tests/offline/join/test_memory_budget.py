"""A join keeps to its budget: in a process that has no more, on a table and a spine that are far larger."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.plan import Field
from skewless.offline.join.memory_budget import bounds, row_bytes
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.runtime.settings import LEAST_JOIN_MEMORY
from tests.checkout import ROOT
from tests.tables import large_view

MIB = 1 << 20
ROWS, SPINE_ROWS = 3_000_000, 1_000_000


def test_a_larger_budget_reads_and_answers_more_at_once():
    small, large_one = (bounds(budget, [large_view.FIELDS], 2) for budget in (LEAST_JOIN_MEMORY, 1 << 30))
    assert small.rows_a_block < large_one.rows_a_block
    assert small.rows_a_batch < large_one.rows_a_batch
    for budget, found in ((LEAST_JOIN_MEMORY, small), (1 << 30, large_one)):
        assert found.expected_bytes(10**9) <= budget
    assert bounds(1, [large_view.FIELDS], 2) == small, "no join works in less"


def test_texts_count_as_texts():
    assert row_bytes([Field("a", "Float32"), Field("b", "String")]) == 5 + 64


def _environment() -> dict[str, str]:
    """With one arena: glibc's others reserve address space for each thread."""
    return os.environ | {"MALLOC_ARENA_MAX": "1"}


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by Linux alone")
def test_a_process_with_little_memory_joins_a_table_that_is_larger(tmp_path: Path):
    size = large_view.write_table(tmp_path, ROWS, files=3)
    large_view.write_spine(tmp_path / "spine.parquet", SPINE_ROWS, ROWS)
    budget = 96 * MIB
    room = 192 * MIB
    assert size > 1.4 * room, "the table alone would not fit"
    done = limited("tests.faults.limited_join", room, budget, tmp_path, tmp_path / "set")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == SPINE_ROWS
    joined = pq.read_table(tmp_path / "set" / "data.parquet")
    times = joined.column(TIMESTAMP).cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    check_values(joined, "large__")


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by Linux alone")
def test_a_process_with_little_memory_saves_a_dataset_through_the_sdk(tmp_path: Path):
    room = 144 * MIB
    large_view.write_table(tmp_path, ROWS // 3, files=3)
    large_view.write_spine(tmp_path / "spine.parquet", 2 * SPINE_ROWS, ROWS // 3)
    saved = tmp_path / "saved.parquet"
    done = limited("tests.faults.limited_persist", room, LEAST_JOIN_MEMORY, tmp_path, saved)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "{'large': 0}"
    joined = pq.read_table(saved)
    assert joined.nbytes > 1.2 * room, "the answer alone would not fit"
    assert joined.select([TIMESTAMP, "id"]) == pq.read_table(tmp_path / "spine.parquet"), "rows out are rows in"
    check_values(joined, "")


def limited(module: str, room: int, budget: int, data: Path, made: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, str(room), str(budget)]
    command += [str(data), str(made), str(data / "spine.parquet")]
    return subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=500, check=False
    )


def check_values(joined: pa.Table, prefix: str) -> None:
    times = joined.column(TIMESTAMP).cast(pa.int64()).to_numpy()
    number = large_view.expected(times, joined.column("id").to_numpy())
    for place, field in enumerate(large_view.FIELDS):
        found = joined.column(f"{prefix}{field.name}").to_numpy()
        np.testing.assert_array_equal(found, np.where(number < 0, np.nan, number * 16.0 + place))
