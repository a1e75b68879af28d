"""Settings for a SQLite database that several processes share.

Held by tests/state/test_database.py.
"""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from skewless.state.sqlite_file import BUSY_SECONDS


def share(engine: Engine) -> Engine:
    """Make each SQLite connection of `engine` wait for writers and never block readers; no effect on other databases."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")
    # The mode is stored in the file, so only the first process switches it; in-memory databases have a mode of their own.
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for other connections here, so this function does."""
    last = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > last:
                raise
            time.sleep(0.01)
