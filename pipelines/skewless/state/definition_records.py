"""Records of applied definitions, and their reading without SQLAlchemy for verbs that only report.

A definition of a view is identified by the digest of its content. Its record has the name that its rows are stored under
in the online store. Records are never deleted: the rows of a definition with a `removed_at` are gone, but an audit may
still need its table.

Held by tests/state/test_definition_log.py.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from skewless.state.run_history import StateUnreachable
from skewless.state.sqlite_file import is_missing, open_read_only, plain_path, stored_time

_NO_TABLE = "no such table"
_QUERY = (
    "SELECT view, stored_as, digest, definition, applied_at, removed_at FROM view_definitions "
    "WHERE project = ? ORDER BY applied_at, stored_as, digest"
)


@dataclass(frozen=True, slots=True)
class DefinitionRecord:
    """A definition of the feature view `view`, which became current at `applied_at` the last time.

    `definition` is its content, as `skewless.definitions.recorded_views` encodes it.
    """

    view: str
    stored_as: str
    digest: str
    definition: str
    applied_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AppliedObjects:
    """One state of a project's definitions: the digest of each object by its kind and name."""

    applied_at: datetime
    applied_by: str
    objects: Mapping[str, str] = field(default_factory=dict)


def sqlite_records(url: str, project: str) -> list[DefinitionRecord] | None:
    """The records of a project, oldest first; None where the URL is not a SQLite file that can be read here.

    Raises: StateUnreachable.
    """
    if is_missing(url):
        return []
    file = open_read_only(url)
    if file is None:
        return None
    with closing(file):
        return _records(file, url, project)


class RecordsFile:
    """The records in the SQLite file of a URL, on one connection of this process: read again where another one has written to
    the file, or the file is another one. Threads may share it; a forked process makes its own.
    """

    def __init__(self, url: str) -> None:
        self._url, self._path = url, plain_path(url)
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, ...] = ()
        self._read: dict[str, tuple[int, Sequence[DefinitionRecord]]] = {}

    def records(self, project: str) -> Sequence[DefinitionRecord] | None:
        """As `sqlite_records`; the same object for as long as nothing was written. Raises: StateUnreachable."""
        try:
            file = self._path.stat() if self._path is not None else None
        except OSError:
            file = None
        with self._lock:
            if file is None or self._file != (file.st_dev, file.st_ino, os.getpid()):
                self._open(file)
            if self._connection is None:
                return sqlite_records(self._url, project)
            try:
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error as error:
                raise StateUnreachable(self._url, str(error)) from error
            known = self._read.get(project)
            if known is None or known[0] != version:
                known = self._read[project] = version, _records(self._connection, self._url, project)
            return known[1]

    def _open(self, file: os.stat_result | None) -> None:
        """Connect to the file, in the place of the connection before."""
        if self._connection is not None:
            self._connection.close()
        self._read.clear()
        self._connection = None if file is None else open_read_only(self._url, threads=True)
        self._file = () if file is None else (file.st_dev, file.st_ino, os.getpid())


def _records(file: sqlite3.Connection, url: str, project: str) -> list[DefinitionRecord]:
    """Raises: StateUnreachable."""
    try:
        rows = file.execute(_QUERY, (project,)).fetchall()
    except sqlite3.Error as error:
        if _NO_TABLE in str(error):
            return []
        raise StateUnreachable(url, str(error)) from error
    return [
        DefinitionRecord(view, name, digest, text, stored_time(at), removed and stored_time(removed))
        for view, name, digest, text, at, removed in rows
    ]
