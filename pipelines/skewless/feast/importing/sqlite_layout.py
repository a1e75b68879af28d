"""Feast's rows in its SQLite online store: a table `project_view` for each view, with a row for each entity and feature.

Feast cuts event times to whole seconds there.
Source: `feast.infra.online_stores.sqlite` of Feast 0.67.
Held by tests/feast/importing/test_import_rows.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote

from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.feast.importing.former_rows import FeastKeyParser, FormerRow, FormerStoreUnreachable, RowMark

_ENTITIES_A_BATCH = 1_000
_OLD_COLUMNS = {"entity_key", "feature_name", "value", "event_ts"}
StoredTime = int | str | None


class FeastSqliteRows:
    """The rows of a project in the SQLite file at `path`."""

    def __init__(self, path: Path, project: str, keys: FeastKeyParser) -> None:
        self._path, self._project, self._keys = path, project, keys

    def size(self) -> int:
        """The entities of all views together. Raises: FormerStoreUnreachable."""
        with self._opened() as database:
            counts = [
                database.execute(f"SELECT count(DISTINCT entity_key) FROM {_quoted(table)}")  # noqa: S608 - quoted
                for table in self._tables(database)
            ]
            return sum(int(count.fetchone()[0]) for count in counts)

    def batches(self) -> Iterator[list[FormerRow]]:
        """All rows, each once. Raises: FormerStoreUnreachable."""
        with self._opened() as database:
            for table in self._tables(database):
                view = table.removeprefix(f"{self._project}_")
                cells = database.execute(
                    f"SELECT entity_key, feature_name, value, event_ts FROM {_quoted(table)} ORDER BY entity_key"  # noqa: S608 - quoted
                )
                entities = groupby(cells, itemgetter(0))
                while batch := [
                    self._row(view, key, of_entity) for key, of_entity in islice(entities, _ENTITIES_A_BATCH)
                ]:
                    yield batch

    def remove(self, view: str, rows: Sequence[RowMark]) -> int:
        """Remove these rows, all or none of a call's. Raises: FormerStoreUnreachable."""
        table = _quoted(f"{self._project}_{view}")
        removed = 0
        with self._opened(write=True) as database, database:
            for row in rows:
                deleted = database.execute(
                    f"DELETE FROM {table} WHERE entity_key = ?1 "  # noqa: S608 - quoted
                    f"AND (SELECT max(event_ts) FROM {table} WHERE entity_key = ?1) = ?2",
                    (row.place, _time(row.stamp)),
                )
                removed += deleted.rowcount > 0
        return removed

    def _tables(self, database: sqlite3.Connection) -> list[str]:
        names = [str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [
            name
            for name in sorted(names)
            if name.startswith(f"{self._project}_")
            and {str(column[1]) for column in database.execute(f"PRAGMA table_info({_quoted(name)})")} >= _OLD_COLUMNS
        ]

    def _row(self, view: str, key: bytes, cells: Iterator[tuple[bytes, str, bytes | None, StoredTime]]) -> FormerRow:
        values: dict[str, bytes] = {}
        times: list[int | str] = []
        for _, name, value, time in cells:
            values[name] = value or b""
            if time is not None:
                times.append(time)
        # As SQLite compares them: texts, which older versions wrote, after numbers.
        newest = max(times, key=lambda time: (isinstance(time, str), time)) if times else None
        stamp = b"" if newest is None else f"{'i' if isinstance(newest, int) else 't'}{newest}".encode()
        return FormerRow(view, key, self._keys.parse(key + self._project.encode()), _micros(newest), stamp, values)

    @contextmanager
    def _opened(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            uri = f"file:{quote(str(self._path))}?mode={'rw' if write else 'ro'}"
            with closing(sqlite3.connect(uri, uri=True)) as database:
                yield database
        except sqlite3.Error as error:
            raise FormerStoreUnreachable(str(self._path), str(error)) from error


def _time(stamp: bytes) -> int | str:
    text = stamp.decode()
    return int(text[1:]) if text[0] == "i" else text[1:]


def _micros(time: StoredTime) -> UtcMicros | None:
    """An event time. A number is what Feast's adapter makes of a UTC time without its zone: of the local time of that name."""
    if time is None:
        return None
    try:
        local = datetime.fromtimestamp(time) if isinstance(time, int) else datetime.fromisoformat(time)  # noqa: DTZ006
    except (OSError, OverflowError, ValueError):
        return None
    return to_micros(local.replace(tzinfo=UTC) if local.tzinfo is None else local)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
