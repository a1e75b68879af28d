"""Days of a served log: folded once, gone when they are old, and every row is read once whatever step a kill hits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from skewless.cli import app
from skewless.monitoring.served_log.days import compact, days, trim
from skewless.monitoring.served_log.reader import ServedLogReader
from tests.faults.killed_calls import Killed, killer

TODAY = date(2013, 10, 9)
SCHEMA = pa.schema([("served_at", pa.timestamp("us", tz="UTC")), ("request_id", pa.string())])


def write(served: Path, day: date, *names: str, model: str = "tiny") -> Path:
    """A file for each name, of one row that is called so."""
    folder = served / f"model={model}" / "version=1.0.0" / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    for name in names:
        pq.write_table(pa.table({"served_at": [at], "request_id": [name]}, SCHEMA), folder / f"{name}.parquet")
    return folder


def read(served: Path) -> list[str]:
    far = datetime(2100, 1, 1, tzinfo=UTC)
    found = ServedLogReader(served).read("tiny", "1.0.0", datetime(1970, 1, 1, tzinfo=UTC), far)
    assert ServedLogReader(served).rows("tiny") == len(found)
    return sorted(found.column("request_id").to_pylist())


def test_days_that_are_over_are_folded_and_old_ones_go(tmp_path: Path):
    old, over = date(2013, 7, 1), date(2013, 10, 7)
    gone = write(tmp_path, old, "x", "y")
    folder = write(tmp_path, over, "a", "b", "c")
    for day in (TODAY, TODAY - timedelta(days=1)):
        write(tmp_path, day, f"{day}-1", f"{day}-2")
    before = read(tmp_path)
    done = trim(days(tmp_path), TODAY, timedelta(days=90))
    assert str(done) == "3 files compacted; 1 days with 2 files removed"
    assert not gone.exists()
    assert [file.name.partition("-")[0] for file in folder.iterdir()] == ["folded"]
    assert read(tmp_path) == sorted(set(before) - {"x", "y"})
    assert trim(days(tmp_path), TODAY, timedelta(days=90)).compacted == 0
    assert trim(days(tmp_path), TODAY, None).days == 0


def test_a_file_that_comes_after_the_fold_is_folded_with_it(tmp_path: Path):
    folder = write(tmp_path, date(2013, 10, 1), "a", "b")
    assert compact(folder) == 2
    write(tmp_path, date(2013, 10, 1), "c")
    assert read(tmp_path) == ["a", "b", "c"]
    assert compact(folder) == 2
    assert len(list(folder.iterdir())) == 1
    assert read(tmp_path) == ["a", "b", "c"]


def test_other_models_and_other_folders_are_left_alone(tmp_path: Path):
    write(tmp_path, date(2013, 1, 1), "a", model="tiny")
    write(tmp_path, date(2013, 1, 1), "b", model="other")
    (tmp_path / "model=tiny" / "version=1.0.0" / "day=later").mkdir()
    assert [one.folder.parts[-3] for one in days(tmp_path, ["other"])] == ["model=other"]
    assert trim(days(tmp_path, ["other"]), TODAY, timedelta(days=1)).days == 1
    assert read(tmp_path) == ["a"]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    with killer("tests.monitoring.served_log.day_files", "compact_day") as killed:
        yield killed


def test_a_fold_that_is_killed_at_any_step_loses_and_doubles_nothing(tmp_path: Path, killed: Killed):
    steps = 0
    while steps < 30:
        steps += 1
        served = tmp_path / f"{steps}"
        folder = write(served, date(2013, 10, 1), "a", "b", "c")
        went_on = killed(steps, str(folder))
        assert read(served) == ["a", "b", "c"], f"killed at step {steps}"
        compact(folder)
        assert read(served) == ["a", "b", "c"]
        assert len([file for file in folder.iterdir() if not file.name.startswith(".")]) == 1
        if not went_on:
            break
    assert 4 < steps < 30


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    write(tmp_path / "served", date(2013, 10, 1), "a", "b")
    told = CliRunner().invoke(app, ["trim"], catch_exceptions=False)
    assert "2 files compacted; 0 days with 0 files removed" in told.output
    told = CliRunner().invoke(app, ["trim", "--keep", "365d"], catch_exceptions=False)
    assert "0 files compacted; 1 days with 1 files removed" in told.output
