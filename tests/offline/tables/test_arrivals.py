"""Only the files that hold news are opened."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skewless.contract.plan import PlanView
from skewless.offline.tables import arrivals
from skewless.offline.tables.arrivals import arrivals as arrivals_of
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import SourceMissing

NOON = 1_380_628_800_000_000
DAY = 86_400_000_000
SOURCE_COLUMNS = ("event_timestamp", "created_timestamp")


def put(folder: Path, day: str, event: list[int], created: list[int], *, unit: str = "us", **options) -> Path:
    kind = pa.timestamp(unit, tz="UTC")
    columns = {
        name: pa.array(np.array(times) * (1_000 if unit == "ns" else 1)).cast(kind)
        for name, times in zip(SOURCE_COLUMNS, (event, created), strict=True)
    }
    file = folder / f"day={day}" / "part-0.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file, **options)
    return file


def source(folder: Path, created: str | None = "created_timestamp") -> TableSource:
    return TableSource("delays", folder, "event_timestamp", created)


VIEW = PlanView("delays", "delays", (), (), 0, "created_timestamp")


def files_since(source: TableSource, start: int, end: int) -> list[Path]:
    return sorted(piece.file for piece in arrivals_of(VIEW, source, start, end).pieces)


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_a_file_without_news_is_left_out(tmp_path: Path, unit: str):
    old = put(tmp_path, "2013-10-01", [NOON, NOON + 1], [NOON + 5, NOON + 3], unit=unit)
    late = put(tmp_path, "2013-10-02", [NOON + DAY], [NOON + 4 * DAY], unit=unit)
    put(tmp_path, "2013-10-03", [NOON + 2 * DAY], [NOON + 2 * DAY], unit=unit)
    assert files_since(source(tmp_path), NOON + 4, NOON + DAY) == [old, late]
    assert files_since(source(tmp_path), NOON + 5, NOON + DAY) == [late], "the start is not included"
    assert files_since(source(tmp_path), NOON + 4 * DAY, NOON + 5 * DAY) == []


def test_rows_without_created_time_are_news_by_their_event(tmp_path: Path):
    nothing = put(tmp_path, "2013-10-01", [NOON, NOON + 1], [NOON, NOON])
    some = put(tmp_path, "2013-10-02", [NOON + DAY] * 2, [NOON, NOON + 5 * DAY])
    for file, null in ((nothing, [True, True]), (some, [True, False])):
        table = pq.ParquetFile(file).read()
        known = pc.if_else(pa.array(null), None, table["created_timestamp"])
        pq.write_table(table.set_column(1, "created_timestamp", known), file)
    assert files_since(source(tmp_path), NOON, NOON + 2) == [nothing]
    assert files_since(source(tmp_path), NOON + 1, NOON + 3 * DAY) == [some]
    assert files_since(source(tmp_path), NOON + 4 * DAY, NOON + 9 * DAY) == [some]
    (rows,) = arrivals_of(VIEW, source(tmp_path), NOON + DAY, NOON + 9 * DAY).batches()
    assert rows.created.tolist() == [NOON + DAY, NOON + 5 * DAY]


def test_an_event_of_the_future_that_was_known_before_is_news(tmp_path: Path):
    forecast = put(tmp_path, "2013-10-01", [NOON + 9], [NOON])
    assert files_since(source(tmp_path), NOON + 5, NOON + DAY) == [forecast]


def test_every_row_group_counts(tmp_path: Path):
    file = put(tmp_path, "2013-10-01", [NOON, NOON, NOON], [NOON, NOON + 7, NOON], row_group_size=1)
    assert files_since(source(tmp_path), NOON + 6, NOON + DAY) == [file]
    assert files_since(source(tmp_path), NOON + 7, NOON + DAY) == []


def test_without_a_created_time_the_event_time_counts(tmp_path: Path):
    put(tmp_path, "2013-10-01", [NOON], [NOON + 9])
    assert files_since(source(tmp_path, created=None), NOON, NOON + DAY) == []


@pytest.mark.parametrize("statistics", [False, ["event_timestamp"]])
def test_a_file_without_statistics_is_opened(tmp_path: Path, statistics):
    file = put(tmp_path, "2013-10-01", [NOON], [NOON], write_statistics=statistics)
    assert files_since(source(tmp_path), NOON + DAY, NOON + 2 * DAY) == [file]


@pytest.mark.parametrize("times", [pa.array(["then"]), pa.array([3]), pa.array([2**62]).cast(pa.timestamp("us"))])
def test_a_file_whose_times_are_none_is_opened_so_that_reading_it_can_name_them(tmp_path: Path, times: pa.Array):
    file = tmp_path / "part.parquet"
    pq.write_table(pa.table({"event_timestamp": times, "created_timestamp": times}), file)
    assert files_since(source(tmp_path), NOON, NOON) == [file]
    pq.write_table(pa.table({"other": times}), file)
    assert files_since(source(tmp_path), NOON, NOON) == [file]


def test_footers_are_read_once_until_a_file_is_rewritten(tmp_path: Path):
    for day in range(1, 10):
        put(tmp_path, f"2013-10-0{day}", [NOON], [NOON])
    read = []
    with patch.object(arrivals.pq, "read_metadata", lambda file: read.append(file) or pq.ParquetFile(file).metadata):
        assert files_since(source(tmp_path), NOON, NOON + 9 * DAY) == []
        assert len(read) == 9
        assert files_since(source(tmp_path), NOON + 1, NOON + 9 * DAY) == []
        assert len(read) == 9
        rewritten = put(tmp_path, "2013-10-04", [NOON], [NOON + 3])
        assert files_since(source(tmp_path), NOON + 2, NOON + 9 * DAY) == [rewritten]
        assert len(read) == 10


def test_a_table_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SourceMissing, match="delays"):
        files_since(source(tmp_path), NOON, NOON)


def rows_of(table: TableSource, start: int, end: int) -> list[int]:
    return sorted(int(event) for batch in arrivals_of(VIEW, table, start, end).batches() for event in batch.event)


def test_only_the_row_groups_that_hold_news_are_read(tmp_path: Path):
    put(tmp_path, "2013-10-01", [NOON, NOON + 1, NOON + 2], [NOON, NOON + 7, NOON], row_group_size=1)
    assert rows_of(source(tmp_path), NOON + 6, NOON + DAY) == [NOON + 1]
    (piece,) = arrivals_of(VIEW, source(tmp_path), NOON + 6, NOON + DAY).pieces
    assert (piece.groups, piece.rows) == ((1,), 1)


def test_the_newest_events_are_read_first(tmp_path: Path):
    files = [put(tmp_path, f"2013-10-0{day}", [NOON + day * DAY], [NOON + 9 * DAY]) for day in (1, 2, 3)]
    pieces = arrivals_of(VIEW, source(tmp_path), 0, NOON + 9 * DAY).pieces
    assert [piece.file for piece in pieces] == files[::-1]


def test_a_file_that_is_rewritten_meanwhile_is_read_as_it_is(tmp_path: Path):
    put(tmp_path, "2013-10-01", [NOON, NOON + 1], [NOON, NOON + 7], row_group_size=1)
    chosen = arrivals_of(VIEW, source(tmp_path), NOON + 6, NOON + DAY)
    put(tmp_path, "2013-10-01", [NOON + 2, NOON, NOON + 1], [NOON + 8, NOON, NOON + 7], row_group_size=1)
    assert [event for batch in chosen.batches() for event in batch.event.tolist()] == [NOON + 2, NOON + 1]


def test_a_file_that_is_gone_meanwhile_is_named(tmp_path: Path):
    gone, _ = (put(tmp_path, f"2013-10-0{day}", [NOON], [NOON]) for day in (1, 2))
    batches = arrivals_of(VIEW, source(tmp_path), 0, NOON).batches()
    gone.unlink()
    with pytest.raises(SourceMissing, match="2013-10-01"):
        list(batches)


def bytes_read() -> int:
    """By this process, from files and sockets."""
    counted = Path("/proc/self/io").read_text().splitlines()
    return int(counted[0].removeprefix("rchar: "))


def test_an_hour_of_ten_years_reads_the_hour(tmp_path: Path):
    """Late rows in old days included: of those only their row group, of all other files the footers, once."""
    rows, hour = 20_000, DAY // 24
    rng = np.random.default_rng(1)

    def day(number: int, late: int | None = None) -> Path:
        event = NOON + number * DAY + np.sort(rng.integers(0, hour, rows))
        created = event + 5
        if late is not None:
            created[late] = NOON + 20 * DAY + 9
        return put(tmp_path, f"2013-10-{number + 1:02}", event.tolist(), created.tolist(), row_group_size=rows // 10)

    files = [day(number, 4_321 if number == 3 else None) for number in range(20)]
    total = sum(file.stat().st_size for file in files)
    start, end = NOON + 19 * DAY + hour + 9, NOON + 20 * DAY + 10
    assert rows_of(source(tmp_path), start, end)
    before = bytes_read()
    table = arrivals_of(VIEW, source(tmp_path), start, end)
    assert table.rows == rows // 10
    assert sum(int(table.take(batch).sum()) for batch in table.batches()) == 1
    read = bytes_read() - before
    footers = 3 * (1 << 16)  # what Arrow reads of a file's end at a time: for columns, types and groups
    assert read < footers + 1.2 * files[3].stat().st_size / 10
    assert read < total / 20
