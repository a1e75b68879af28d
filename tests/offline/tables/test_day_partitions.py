import os
import random
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.offline.tables.day_partitions import DayWriteResult, day_file, write
from tests.checkout import ROOT
from tests.offline.tables.day_rows import FIRST, LAST, ROWS, SCHEMA, UTC_US, batch, put, state


def test_one_sorted_file_per_day(tmp_path):
    assert put(tmp_path / "t", *ROWS) == DayWriteResult("t", 5, 3, 0, 0)
    found = pq.read_table(day_file(tmp_path / "t", FIRST), partitioning=None)
    assert found["x"].to_pylist() == [3, 2, 1]
    assert found.schema.equals(SCHEMA)
    column = pq.ParquetFile(day_file(tmp_path / "t", FIRST)).metadata.row_group(0).column(1)
    assert (column.compression, column.statistics.has_min_max) == ("ZSTD", True)
    assert sorted(state(tmp_path / "t")) == [f"day=2013-05-0{day}/part-0.parquet" for day in (1, 2, 3)]


def test_the_same_rows_again_touch_nothing_whatever_their_batches_and_order(tmp_path):
    put(tmp_path / "t", *ROWS)
    before = state(tmp_path / "t")
    again = write(tmp_path / "t", [batch(*ROWS[2::-1]), batch(*ROWS[3:])], ("key",), FIRST, LAST)
    assert again == DayWriteResult("t", 5, 0, 3, 0)
    assert state(tmp_path / "t") == before


def test_equal_rows_give_equal_bytes_elsewhere(tmp_path):
    put(tmp_path / "one", *ROWS)
    shuffled = random.Random(1).sample(ROWS[:3], 3)
    put(tmp_path / "two", *shuffled, *ROWS[3:])
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    assert {name: content for name, (content, _) in one.items()} == {n: c for n, (c, _) in two.items()}


def test_only_a_changed_day_is_rewritten(tmp_path):
    put(tmp_path / "t", *ROWS)
    before = state(tmp_path / "t")
    assert put(tmp_path / "t", *ROWS[:3], ("a", 30, 99), ROWS[4]) == DayWriteResult("t", 5, 1, 2, 0)
    changed = {name for name, content in state(tmp_path / "t").items() if before[name] != content}
    assert changed == {"day=2013-05-02/part-0.parquet"}


def test_a_day_without_rows_loses_its_file_within_the_range_only(tmp_path):
    put(tmp_path / "t", *ROWS)
    assert put(tmp_path / "t", *ROWS[:3], end=date(2013, 5, 3)) == DayWriteResult("t", 3, 0, 1, 1, (date(2013, 5, 2),))
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["day=2013-05-01", "day=2013-05-03"]


def test_no_rows_at_all(tmp_path):
    put(tmp_path / "t", *ROWS)
    days = tuple(date.fromordinal(day) for day in range(FIRST.toordinal(), LAST.toordinal()))
    assert put(tmp_path / "t") == DayWriteResult("t", 0, 0, 0, 3, days)
    assert write(tmp_path / "new", [batch()], ("key",), FIRST, LAST) == DayWriteResult("new", 0, 0, 0, 0, days)


def test_days_come_in_any_order(tmp_path):
    put(tmp_path / "t", *ROWS)
    put(tmp_path / "u", *reversed(ROWS))
    one, other = ({name: content for name, (content, _) in state(tmp_path / name).items()} for name in "tu")
    assert one == other


def test_rows_that_cannot_be_read_to_the_end_leave_the_table_as_it_was(tmp_path):
    put(tmp_path / "t", *ROWS)
    before = state(tmp_path / "t")

    def broken():
        yield batch(("a", 1, 77))
        raise ValueError("the source is gone")

    with pytest.raises(ValueError, match="the source is gone"):
        write(tmp_path / "t", broken(), ("key",), FIRST, LAST)
    assert state(tmp_path / "t") == before


def test_lists_and_structs_are_written_in_one_order_too(tmp_path):
    rows = [{"key": "a", "tags": ["x", "y"], "at": {"lat": 1.0}}, {"key": "a", "tags": None, "at": {"lat": 0.5}}]
    for name, given in (("t", rows), ("u", rows[::-1])):
        table = pa.Table.from_pylist(given)
        times = pa.array([datetime(2013, 5, 1, tzinfo=UTC)] * 2, UTC_US)
        write(tmp_path / name, table.append_column("event_timestamp", times).to_batches(), ("key",), FIRST, LAST)
    assert day_file(tmp_path / "t", FIRST).read_bytes() == day_file(tmp_path / "u", FIRST).read_bytes()


def test_what_a_kill_left_is_no_table_to_a_reader_and_goes_with_the_next_run(tmp_path):
    """A writer dies between the bytes and the rename, by SIGKILL, in a process of its own."""
    put(tmp_path / "t", *ROWS)
    before = state(tmp_path / "t")
    program = (
        "import os, signal, pathlib\n"
        "from tests.offline.tables.day_rows import ROWS, put\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"put(pathlib.Path({str(tmp_path / 't')!r}), ('a', 1, 77), *ROWS[3:])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert killed.returncode == -9
    left = {name: content for name, content in state(tmp_path / "t").items() if name not in before}
    (name,) = left
    assert re.fullmatch(r"day=2013-05-01/\.part-0\.parquet-[0-9a-f]{16}", name)
    assert {name: state(tmp_path / "t")[name] for name in before} == before
    assert pq.read_table(tmp_path / "t", partitioning=None).num_rows == len(ROWS)
    assert put(tmp_path / "t", *ROWS) == DayWriteResult("t", 5, 0, 3, 0)
    assert state(tmp_path / "t") == before


def test_a_killed_first_run_starts_over(tmp_path):
    put(tmp_path / "whole", *ROWS)
    put(tmp_path / "t", *ROWS)
    shutil.rmtree(tmp_path / "t" / "day=2013-05-03")
    (tmp_path / "t" / "day=2013-05-02" / "part-0.parquet").rename(tmp_path / "t" / "day=2013-05-02" / ".part-0.parquet")
    assert put(tmp_path / "t", *ROWS) == DayWriteResult("t", 5, 2, 1, 0)
    whole = {name: content for name, (content, _) in state(tmp_path / "whole").items()}
    assert {name: content for name, (content, _) in state(tmp_path / "t").items()} == whole
