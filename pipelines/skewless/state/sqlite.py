"""SQLite as several processes share it.

Held by tests/state/test_database.py.
"""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from skewless.state.sqlite_file import PATIENCE_SECONDS


def share(engine: Engine) -> Engine:
    """Make each SQLite connection of `engine` wait for writers and never block readers; other databases are left alone."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.execute(f"PRAGMA busy_timeout={PATIENCE_SECONDS * 1000:.0f}")
    # The mode stays in the file, so that only the first process turns it; memory databases have a mode of their own.
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn to write-ahead logging. SQLite does not wait for other connections here, so we do."""
    last = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > last:
                raise
            time.sleep(0.01)
