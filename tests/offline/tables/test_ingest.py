"""Ingest: what a project's function makes is written day by day, behind the checks, and what cannot be stored is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.offline.tables import ingest
from skewless.offline.tables.ingest import IngestMismatch, IngestTable
from skewless.offline.tables.row_batches import UnknownRows
from skewless.offline.tables.row_versions import MergedRows
from tests.checkout import ROOT
from tests.offline.tables import killed_ingest

START, END = date(2024, 2, 28), date(2024, 3, 2)
UTC_TIME = pa.timestamp("us", "UTC")


def orders(start: datetime, end: datetime, *, every: timedelta = timedelta(hours=6)) -> list[pa.RecordBatch]:
    """An order every six hours, from two customers in turn."""
    times = [start + number * every for number in range(int((end - start) / every))]
    customers = [at.hour // 6 % 2 for at in times]
    columns = {
        "customer": pa.array(customers),
        "event_timestamp": pa.array(times, UTC_TIME),
        "total": pa.array(customers),
    }
    return pa.table(columns).to_batches(max_chunksize=3)


ORDERS = IngestTable("orders", ("customer",), orders)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.parquet")}


def test_each_day_is_a_file_and_a_second_run_changes_nothing(tmp_path: Path):
    first, again = (ingest.run([ORDERS], tmp_path, START, END) for _ in range(2))
    assert set(contents(tmp_path)) == {f"orders/day=2024-{day}/part-0.parquet" for day in ("02-28", "02-29", "03-01")}
    assert (first.data, first.start, first.end) == (tmp_path, START, END)
    assert [(one.table, one.rows, one.files_written) for one in (*first.tables, *again.tables)] == [
        ("orders", 12, 3),
        ("orders", 12, 0),
    ]


def test_day_by_day_is_the_whole(tmp_path: Path):
    ingest.run([ORDERS], tmp_path / "whole", START, END)
    for day in (date(2024, 3, 1), START, date(2024, 2, 29)):
        ingest.run([ORDERS], tmp_path / "parts", day, day + timedelta(days=1))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_the_function_is_given_midnights_and_its_tables_are_reported(tmp_path: Path):
    asked, reported = [], []

    def rows(start: datetime, end: datetime) -> list[pa.RecordBatch]:
        asked.append((start, end))
        return orders(start, end)

    tables = [IngestTable(name, ("customer",), rows) for name in ("first", "second")]
    ingest.run(tables, tmp_path, START, END, lambda *step: reported.append(step))
    assert asked == [(datetime(2024, 2, 28, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))] * 2
    assert reported == [("first", 0, 2), ("second", 1, 2)]


def test_a_day_that_a_check_refuses_stays_as_it_was(tmp_path: Path):
    ingest.run([ORDERS], tmp_path, START, date(2024, 3, 1))
    before = contents(tmp_path)

    def refuses(day: date, rows: pa.Table) -> None:
        assert rows.num_rows
        raise ValueError(f"{day} refused")

    another = IngestTable("another", ("customer",), orders)
    with pytest.raises(ValueError, match="2024-03-01 refused"):
        ingest.run([ORDERS, another], tmp_path, START, END, checks={"orders": refuses})
    assert contents(tmp_path) == before
    ingest.run([another], tmp_path, START, END, checks={"orders": refuses})
    assert len(pq.read_table(tmp_path / "another", partitioning=None)) == 12


def changed(column: str, values: pa.Array | None) -> IngestTable:
    def rows(start: datetime, end: datetime) -> list[pa.RecordBatch]:
        (table,) = [pa.Table.from_batches(orders(start, end))]
        place = table.schema.get_field_index(column)
        table = table.remove_column(place)
        return (table if values is None else table.append_column(column, values)).to_batches()

    return IngestTable("orders", ("customer",), rows)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ([ORDERS, ORDERS], "table 'orders' cannot be ingested from its function: two tables have this name"),
        ([IngestTable("../orders", (), orders)], "its name is not that of a folder"),
        ([IngestTable(".orders", (), orders)], "its name is not that of a folder"),
        ([IngestTable("", (), orders)], "its name is not that of a folder"),
        ([IngestTable("orders", ("shop",), orders)], "its rows lack the column 'shop'; they have"),
        ([changed("event_timestamp", None)], "its rows lack the column 'event_timestamp'; they have"),
        ([changed("event_timestamp", pa.array([1] * 12))], "'event_timestamp' is int64 and must be a time"),
        ([changed("event_timestamp", pa.array([START] * 11 + [END]))], "a row of 2024-03-02T00:00:00.00:00 for 2024-02-28T"),
        ([changed("event_timestamp", pa.array([*[None], *[START] * 11]))], "row 1 has no 'event_timestamp'"),
    ],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_and_nothing_is_written(
    tmp_path: Path, tables: list[IngestTable], reason: str
):
    with pytest.raises(IngestMismatch, match=reason):
        ingest.run(tables, tmp_path, START, END)
    assert contents(tmp_path) == {}


def test_what_is_no_rows_is_refused(tmp_path: Path):
    for rows, kind in ((7, "int"), (["a"], "an iterable of str"), ({"customer": 1}, "dict")):
        with pytest.raises(UnknownRows, match=f"the rows of table 'orders' come as {kind}; return an Arrow table"):
            ingest.run([IngestTable("orders", (), lambda *_, rows=rows: rows)], tmp_path, START, END)


def test_a_whole_table_loses_the_days_that_it_does_not_have_any_more(tmp_path: Path):
    def rows(days: int):
        return lambda *_: orders(datetime(2024, 2, 28, tzinfo=UTC), datetime(2024, 2, 28, tzinfo=UTC) + timedelta(days))

    for days, files in ((3, 3), (1, 1), (2, 2)):
        ingest.run([IngestTable("orders", ("customer",), rows(days), whole=True)], tmp_path, END, END)
        assert len(contents(tmp_path)) == files


def test_rows_of_files_are_added_once(tmp_path: Path):
    table = IngestTable("orders", ("customer",), orders, combine=MergedRows(("customer",)))
    midnight = datetime(2024, 2, 28, tzinfo=UTC)
    for start in (0, 1, 0, 1):
        batches = orders(midnight + timedelta(days=start), midnight + timedelta(days=start + 2))
        ingest.add(table, batches, tmp_path)
    assert ingest.add(table, batches, tmp_path).files_written == 0
    assert len(pq.read_table(tmp_path / "orders", partitioning=None)) == 12


KILLED = """
import os, pathlib, signal, sys
from datetime import datetime, UTC
from skewless.offline.tables import day_partitions, ingest
from tests.offline.tables.killed_ingest import table, batches

write, days = day_partitions.write_file, []

def killing(path, content):
    if days:
        os.kill(os.getpid(), signal.SIGKILL)
    days.append(path)
    write(path, content)

day_partitions.write_file = killing
ingest.add(table(datetime(2024, 5, 1, tzinfo=UTC)), batches(), pathlib.Path(sys.argv[1]))
"""


def test_a_run_that_is_killed_between_two_days_is_run_again(tmp_path: Path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(contents(tmp_path)) == 1
    later = datetime(2024, 5, 2, tzinfo=UTC)
    for changed in (2, 0):
        result = ingest.add(killed_ingest.table(later), killed_ingest.batches(), tmp_path)
        assert (result.rows, result.files_written) == (12, changed)
    rows = pq.read_table(tmp_path / "orders", partitioning=None).sort_by("event_timestamp")
    stamps = [at.day for at in rows["created_timestamp"].to_pylist()]
    assert stamps == [1] * 4 + [2] * 8, "what was known before the kill stays known since then"
