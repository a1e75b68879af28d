"""The history of runs, watermarks and newest events, read without SQLAlchemy by verbs that only report."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from skewless.contract.errors import SkewlessError
from skewless.contract.redis_urls import masked
from skewless.state.sqlite_file import open_read_only, stored_time

SCHEMA_VERSION = 1
_COLUMNS = (
    "id, project, view, verb, window_start, window_end, started_at, status, finished_at, "
    "rows_read, rows_written, rows_skipped_older, rows_held_back, error"
)


class RunStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Row counts of one run.

    `skipped_older`: the store had a newer row. `held_back`: created by the window's end, with an event time after it; only
    rows of the files that the window reads are counted.
    """

    read: int = 0
    written: int = 0
    skipped_older: int = 0
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class VerbRun:
    """One run of `verb` over the arrivals of `view` with window_start < created_timestamp <= window_end."""

    id: int
    project: str
    view: str
    verb: str
    window_start: datetime | None
    window_end: datetime
    started_at: datetime
    status: RunStatus
    finished_at: datetime | None
    counts: RunCounts
    error: str | None


@dataclass(eq=False)
class StateUnreachable(SkewlessError):
    """The state database at `url` (its password masked) cannot be opened, or the connection was lost."""

    transient = True

    url: str
    reason: str

    def __str__(self) -> str:
        return f"the state database {self.url} does not open: {self.reason}; mend SKEWLESS_STATE_URL"


class RunHistory(Protocol):
    """Read access to watermarks, newest events and runs."""

    def watermark(self, project: str, view: str) -> datetime | None:
        """The arrival up to and including which all rows of `view` are in the online store; None before the first run."""

    def newest_event(self, project: str, view: str) -> datetime | None:
        """The newest event time among the rows of `view` that runs brought online; None where there were none."""

    def runs(self, project: str, view: str | None = None, *, limit: int = 100) -> list[VerbRun]:
        """The latest runs, newest first."""


class SqliteRunHistory:
    """The run history in a SQLite file, with the same results as `StateDatabase`."""

    def __init__(self, url: str, connection: sqlite3.Connection) -> None:
        self._url = masked(url)
        self._connection = connection

    @classmethod
    def open(cls, url: str) -> SqliteRunHistory | None:
        """The history, or None if the file lacks the tables of this version: `StateDatabase` then creates them, or refuses."""
        connection = open_read_only(url)
        if connection is None:
            return None
        with suppress(sqlite3.Error):
            connection.execute("SELECT 1 FROM newest_events")
            if connection.execute("SELECT version FROM skewless_schema").fetchall() == [(SCHEMA_VERSION,)]:
                return cls(url, connection)
        connection.close()
        return None

    def close(self) -> None:
        self._connection.close()

    def watermark(self, project: str, view: str) -> datetime | None:
        return self._time("SELECT watermark FROM watermarks WHERE project = ? AND view = ?", project, view)

    def newest_event(self, project: str, view: str) -> datetime | None:
        return self._time("SELECT newest_event FROM newest_events WHERE project = ? AND view = ?", project, view)

    def runs(self, project: str, view: str | None = None, *, limit: int = 100) -> list[VerbRun]:
        query = f"SELECT {_COLUMNS} FROM runs WHERE project = ? AND (? IS NULL OR view = ?) ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own columns
        return [_run(row) for row in self._rows(query, project, view, view, limit)]

    def _time(self, query: str, project: str, view: str) -> datetime | None:
        rows = self._rows(query, project, view)
        return stored_time(rows[0][0]) if rows else None

    def _rows(self, query: str, *values: str | int | None) -> list[tuple[Any, ...]]:
        """Raises: StateUnreachable."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateUnreachable(self._url, str(error)) from error


def _run(row: tuple[Any, ...]) -> VerbRun:
    run_id, project, view, verb, start, end, started, status, finished, *counts, error = row
    return VerbRun(
        id=run_id,
        project=project,
        view=view,
        verb=verb,
        window_start=start and stored_time(start),
        window_end=stored_time(end),
        started_at=stored_time(started),
        status=RunStatus(status),
        finished_at=finished and stored_time(finished),
        counts=RunCounts(*counts),
        error=error,
    )
