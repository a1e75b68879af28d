"""Absences: counted as rows stream by, in any parts, and told of whole days."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.columns import EntityRows
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.timestamps import to_micros
from skewless.model.distributions.coverage import FILE, AbsentRows, CoverageCounts, read

START = datetime(2013, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def admitted(statuses: np.ndarray) -> AdmittedRows:
    none = np.zeros(len(statuses), np.int64)
    return AdmittedRows(EntityRows(none, none, none.astype(bool), ()), statuses)


@given(st.lists(st.tuples(st.integers(0, 4 * 24), st.sampled_from([0, 2, 3])), max_size=30), st.integers(1, 7))
def test_parts_add_up_to_the_whole(rows: list[tuple[int, int]], size: int):
    counted = CoverageCounts()
    for begin in range(0, len(rows), size):
        some = rows[begin : begin + size]
        at = np.array([to_micros(START + timedelta(hours=hours)) for hours, _ in some], np.int64)
        counted.add(at, {"planes": admitted(np.array([status for _, status in some], np.uint8))})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(counted.to_json())
        found = read(Path(folder), START + DAY, START + 3 * DAY).get("planes", AbsentRows(0, 0))
    inside = [status for hours, status in rows if 24 <= hours < 72]
    assert found == AbsentRows(len(inside), sum(status != 0 for status in inside))


def test_an_older_training_set_tells_nothing(tmp_path: Path):
    assert read(tmp_path, START, START + DAY) == {}
