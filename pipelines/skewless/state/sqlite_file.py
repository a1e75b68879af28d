"""A SQLite file of a database URL, read without SQLAlchemy, which takes longer to import than a status takes to print.

Held by tests/state/test_run_history.py.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

_PREFIX = "sqlite:///"
BUSY_SECONDS = 10.0
"""How long one process waits for the write of another one."""


def open_read_only(url: str) -> sqlite3.Connection | None:
    """A connection that writes nothing, to the file that a SQLAlchemy URL names.

    None where it is no plain path of a file that exists: then SQLAlchemy says what the URL means.
    """
    path = url.removeprefix(_PREFIX)
    if path == url or set("?%") & set(path) or not Path(path).is_file():
        return None
    try:
        return sqlite3.connect(f"file:{quote(str(Path(path).resolve()))}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    except sqlite3.Error:
        return None
