"""Records of applied definitions: read alike with and without SQLAlchemy, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skewless.state.database import StateDatabase
from skewless.state.definition_log import DefinitionLog
from skewless.state.definition_records import AppliedObjects, DefinitionRecord, RecordsFile, sqlite_records

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
FIRST = DefinitionRecord("spend", "spend", "ab" * 32, '{"ü": 1}', AT)
SECOND = DefinitionRecord("spend", "spend@cdcdcdcd", "cd" * 32, "{}", AT + timedelta(seconds=1))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def log(url: str) -> Iterator[DefinitionLog]:
    with closing(StateDatabase(url)) as state:
        yield DefinitionLog(state, "shop")


def test_what_is_written_is_read(log: DefinitionLog, url: str):
    log.write([SECOND, FIRST], AppliedObjects(AT, "ann", {"feature view spend": "12"}))
    assert log.records() == [FIRST, SECOND], "by the time of their last application"
    assert log.history() == [AppliedObjects(AT, "ann", {"feature view spend": "12"})]
    if url.startswith("sqlite"):
        assert sqlite_records(url, "shop") == log.records()
        assert sqlite_records(url, "bakery") == []
    else:
        assert sqlite_records(url, "shop") is None


def test_a_definition_that_comes_again_takes_the_place_of_its_record(log: DefinitionLog):
    log.write([FIRST, SECOND])
    again = replace(FIRST, applied_at=AT + timedelta(days=1), definition="another table")
    log.write([again])
    assert log.records() == [SECOND, again]


def test_rows_that_are_gone_are_noted_once(log: DefinitionLog, url: str):
    log.write([FIRST, SECOND])
    log.remove(["spend"], AT)
    log.remove(["spend"], AT + timedelta(days=1))
    assert [record.removed_at for record in log.records()] == [AT, None]
    if url.startswith("sqlite"):
        assert sqlite_records(url, "shop") == log.records()
    log.write([FIRST])
    assert [record.removed_at for record in log.records()] == [None, None]


def test_a_state_that_nobody_wrote_has_no_records(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    assert sqlite_records(url, "shop") == []
    assert not (tmp_path / "state.db").exists()
    (tmp_path / "state.db").touch()
    assert sqlite_records(url, "shop") == [], "a database of an older version"


def test_a_reader_in_the_same_process_sees_each_write(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    reader = RecordsFile(url)
    assert reader.records("shop") == []
    with closing(StateDatabase(url)) as state:
        log = DefinitionLog(state, "shop")
        assert reader.records("shop") == []
        log.write([FIRST])
        known = reader.records("shop")
        assert known == [FIRST]
        assert reader.records("shop") is known
        assert reader.records("bakery") == []
        log.write([SECOND])
        assert reader.records("shop") == [FIRST, SECOND]
        log.remove(["spend"], AT)
        assert [record.removed_at for record in reader.records("shop")] == [AT, None]
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with closing(StateDatabase(url)) as state:
        DefinitionLog(state, "shop").write([SECOND])
        assert reader.records("shop") == [SECOND]
    assert RecordsFile("postgresql+psycopg://u@127.0.0.1:1/d").records("shop") is None
