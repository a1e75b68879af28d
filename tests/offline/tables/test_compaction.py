"""Parts folded into days: no row lost, none twice, whenever it is killed, while others read, push and ingest."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.contract.storage.part_files import FOLDED
from skewless.contract.storage.push_batch import part_table
from skewless.contract.timestamps import to_micros
from skewless.files.table_parts import write_part
from skewless.offline.tables import compaction, day_partitions
from skewless.offline.tables.compaction import CompactionResult, locked
from skewless.offline.tables.source import TableSource
from skewless.online.push.push import PushedRows
from skewless.runtime.errors import SourceMismatch
from skewless.state.locks import LockBusy
from tests.faults.killed_calls import killer
from tests.offline.tables.pushed_parts import DAY, HOUR, NOW, fold
from tests.tables.pushed_view import PROJECT, TARGET, row, source, stored


def add(data: Path, *rows: dict, now: int = NOW) -> Path:
    reader = PushedRows(PROJECT, TARGET)
    return write_part(data / "cards", part_table(TARGET, reader.batch([reader.parse(rows)], now)), now)


def files(data: Path) -> list[str]:
    return sorted(str(file.relative_to(data / "cards")) for file in (data / "cards").rglob("*.parquet"))


def test_parts_become_days_and_stay_for_readers_under_way(tmp_path):
    for number in range(5):
        add(tmp_path, row(number), row(number, minutes=DAY), now=NOW + number)
    before = stored(tmp_path)
    assert fold(tmp_path) == CompactionResult(parts=5, rows=10, files=2, removed=0)
    assert stored(tmp_path) == before, "who lists files now reads no folded part"
    assert len([name for name in files(tmp_path) if name.startswith("pushed-")]) == 5
    assert fold(tmp_path, now=NOW + 2 * HOUR) == CompactionResult(0, 0, 0, removed=5)
    assert files(tmp_path) == [f"day=2013-10-0{day}/{FOLDED}" for day in (1, 2)]
    assert stored(tmp_path) == before
    assert fold(tmp_path, now=NOW + 9 * HOUR) == CompactionResult(0, 0, 0, 0)


def test_more_parts_join_the_same_day(tmp_path):
    for turn in range(3):
        add(tmp_path, row(turn), row(9, minutes=turn), now=NOW + turn)
        fold(tmp_path, keep=timedelta(0))
        assert files(tmp_path) == [f"day=2013-10-01/{FOLDED}"]
        assert len(stored(tmp_path)) == 2 * (turn + 1)
    assert compaction._listed(tmp_path / "cards" / "day=2013-10-01" / FOLDED) != []


def test_only_parts_written_before(tmp_path):
    add(tmp_path, row(1), now=NOW)
    add(tmp_path, row(2), now=NOW + 1)
    assert fold(tmp_path, before=NOW + 1).parts == 1


def test_parts_of_feast_in_days_are_folded_too(tmp_path):
    from skewless.offline.tables import append

    add(tmp_path, row(1))
    fold(tmp_path, keep=timedelta(0))
    table = pq.ParquetFile(tmp_path / "cards" / "day=2013-10-01" / FOLDED).read()
    (made,) = append.append(source(tmp_path), table.set_column(0, "customer", pa.array([5])), now=NOW)
    assert made.parent.name == "day=2013-10-01"
    far = 2 * to_micros(datetime.now(UTC))
    assert fold(tmp_path, before=far, keep=timedelta(0)).parts == 1
    assert [one.key[0] for one in stored(tmp_path)] == [1, 5]
    assert files(tmp_path) == [f"day=2013-10-01/{FOLDED}"]


def test_a_table_that_is_one_file(tmp_path):
    reader = PushedRows(PROJECT, TARGET)
    table = part_table(TARGET, reader.batch([reader.parse([row(1)])], NOW))
    pq.write_table(table, tmp_path / "cards.parquet")
    one = TableSource("cards", tmp_path / "cards.parquet", "event_timestamp", "created_timestamp", TARGET.renamed)
    write_part(compaction.parts_of(one), table, NOW)
    assert compaction.run(one, before=NOW + 1, now=NOW + 1, keep=timedelta(0)) == CompactionResult(1, 1, 1, 1)
    assert [file.name for file in one.files()] == ["cards.parquet", FOLDED]


def test_new_columns_are_null_in_older_rows_and_types_must_go_together(tmp_path):
    old, new = add(tmp_path, row(1), now=NOW), add(tmp_path, row(2), now=NOW + 1)
    pq.write_table(pq.ParquetFile(old).read().drop_columns("note"), old)
    fold(tmp_path, keep=timedelta(0))
    assert [one.values[2] for one in stored(tmp_path)] == [None, "ä"]
    strange = pq.ParquetFile(add(tmp_path, row(3), now=NOW + 2)).read()
    wrong = strange.set_column(strange.column_names.index("note"), "note", pa.array([[1]]))
    part = write_part(tmp_path / "cards", wrong, NOW + 3)
    with pytest.raises(SourceMismatch, match="cannot be combined"):
        fold(tmp_path)
    part.unlink()
    assert fold(tmp_path, keep=timedelta(0)).parts == 1
    assert len(stored(tmp_path)) == 3
    assert not new.exists()


def test_ingest_that_rewrites_a_day_keeps_its_pushed_rows(tmp_path):
    reader = PushedRows(PROJECT, TARGET)
    add(tmp_path, row(1))
    fold(tmp_path, keep=timedelta(0))
    add(tmp_path, row(2))
    for amounts in ([1.0], [2.0], []):
        rows = [row(7, amount=amount) for amount in amounts]
        batches = part_table(TARGET, reader.batch([reader.parse(rows)], NOW)).to_batches() if rows else []
        day_partitions.write(tmp_path / "cards", batches, ("customer",), date(2013, 9, 1), date(2013, 11, 1))
        assert [one.key[0] for one in stored(tmp_path)] == [1, 2] + [7] * len(amounts)


def test_two_at_once_are_refused(tmp_path):
    add(tmp_path, row(1))
    with locked(tmp_path / "cards", "erase"), pytest.raises(LockBusy, match=r"`skewless erase` .*run this again"):
        fold(tmp_path, wait=timedelta(0))
    assert fold(tmp_path).parts == 1


def test_an_absent_table_has_nothing_to_fold(tmp_path):
    assert fold(tmp_path) == CompactionResult(0, 0, 0, 0)


def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(tmp_path):
    """Killed before each of its file operations in turn, then run again, with pushes in between."""
    expected, turn, ended = [], 0, 0
    with killer("tests.offline.tables.pushed_parts", "compacted") as killed:
        for step in range(1, 100):
            for _ in range(2):
                turn += 1
                add(tmp_path, row(turn), row(turn, minutes=DAY), now=NOW + turn)
                expected += [turn, turn]
            ended += not killed(step, str(tmp_path), NOW + turn)
            assert {one.key[0] for one in stored(tmp_path)} == set(expected)
            if ended == 2:
                break
    fold(tmp_path, before=2**62, keep=timedelta(0))
    fold(tmp_path, before=2**62, now=NOW + 2**40, keep=timedelta(0))
    assert sorted(one.key[0] for one in stored(tmp_path)) == sorted(expected), "exactly once"
    assert files(tmp_path) == [f"day=2013-10-0{day}/{FOLDED}" for day in (1, 2)]
    assert step > 10


def test_readers_never_miss_a_row_while_parts_are_folded(tmp_path):
    """Pushes and compactions as fast as they go; each reader must see every row that was there before it began.

    Until parts were removed several times, and readers read many times meanwhile.
    """
    add(tmp_path, row(0))
    pushed, stop, missing, begun, reads = [0], threading.Event(), [], [0, 0], [0, 0]

    def read(me: int) -> None:
        while not stop.is_set():
            begun[me] = must = pushed[-1]
            seen = {one.key[0] for one in stored(tmp_path)}
            if not set(range(must + 1)) <= seen:
                missing.append(set(range(must + 1)) - seen)
            reads[me] += 1

    readers = [threading.Thread(target=read, args=(me,)) for me in range(2)]
    for reader in readers:
        reader.start()
    removed = 0
    clock = random.Random(1)
    while (removed <= 20 or min(reads) < 50) and not missing:
        number = pushed[-1] + 1
        add(tmp_path, row(number), now=NOW + number)
        pushed.append(number)
        if clock.random() < 0.3:
            # Parts stay until every reader that may have listed them is through, and no longer.
            keep = timedelta(microseconds=number - min(begun) + 1)
            removed += fold(tmp_path, before=2**62, now=NOW + number, keep=keep).removed
    stop.set()
    for reader in readers:
        reader.join()
    assert not missing
    assert removed > 20
