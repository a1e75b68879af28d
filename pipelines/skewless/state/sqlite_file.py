"""Opens the SQLite file of a database URL without SQLAlchemy, whose import takes longer than a status report.

Held by tests/state/test_run_history.py.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

_PREFIX = "sqlite:///"
BUSY_SECONDS = 10.0
"""How long one process waits for the write of another one."""


def open_read_only(url: str, *, threads: bool = False) -> sqlite3.Connection | None:
    """A read-only connection to the SQLite file of a SQLAlchemy URL; for `threads` that take turns, if so.

    None if the URL is not the plain path of an existing file; SQLAlchemy then has to interpret it.
    """
    path = plain_path(url)
    if path is None or not path.is_file():
        return None
    try:
        address = f"file:{quote(str(path.resolve()))}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=not threads)
    except sqlite3.Error:
        return None


def is_missing(url: str) -> bool:
    """Whether the URL is the plain path of a SQLite file that does not exist."""
    path = plain_path(url)
    return path is not None and not path.exists()


def stored_time(text: str) -> datetime:
    """A time as SQLAlchemy writes it to SQLite: naive, and UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plain_path(url: str) -> Path | None:
    """The path of a SQLite file's URL; None where SQLAlchemy has to interpret it."""
    path = url.removeprefix(_PREFIX)
    return None if path == url or set("?%") & set(path) else Path(path)
