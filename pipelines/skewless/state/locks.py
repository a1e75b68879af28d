"""Exclusive locks between processes: on a file, or in the state database. A lock is released when its process ends, even if
it is killed.

Waiting is bounded; the error after a wait in vain names the process that holds the lock.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from skewless.contract.errors import SkewlessError
from skewless.files.file_locks import try_lock

WAIT = timedelta(minutes=1)
"""How long a verb waits for a lock by default."""
_POLL_SECONDS = 0.05
_LONGEST_NAME = 63
_HALF = 32
_OWNER_QUERY = """
SELECT activity.application_name FROM pg_locks JOIN pg_stat_activity activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid::bigint = :high AND objid::bigint = :low AND objsubid = 1
"""


@dataclass(eq=False)
class LockBusy(SkewlessError):
    """Another process works on `what` and did not release its lock within `waited`; `owner` names it, if it is known."""

    transient = True

    what: str
    owner: str
    waited: timedelta

    def __str__(self) -> str:
        return (
            f"{self.owner or 'another process'} works on {self.what} and did not end within "
            f"{self.waited.total_seconds():g} s; let it end, then run this again"
        )


def worker(verb: str) -> str:
    """The name of this process, which runs `verb`, in the errors of other processes."""
    return f"`skewless {verb}` (process {os.getpid()} on {socket.gethostname()})"


@contextmanager
def file_lock(path: Path, what: str, verb: str, wait: timedelta = WAIT) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` against all processes of this machine. Raises: LockBusy, OSError."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)

    def claim() -> bool:
        if not try_lock(handle):
            return False
        os.ftruncate(handle, 0)
        os.write(handle, worker(verb).encode())
        return True

    try:
        _await(claim, lambda: os.read(handle, 1_000).decode(errors="replace"), what, wait)
        yield
    finally:
        os.close(handle)


@contextmanager
def database_lock(engine: Engine, what: str, verb: str, wait: timedelta = WAIT) -> Iterator[None]:
    """Hold an exclusive lock against all users of a database: for SQLite a file beside it, for PostgreSQL an advisory lock.

    Raises: LockBusy, and the errors of the database.
    """
    if engine.dialect.name == "sqlite":
        folder = Path(f"{engine.url.database}.turns")
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / hashlib.sha256(what.encode()).hexdigest()[:32], what, verb, wait):
            yield
        return
    key = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big", signed=True)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        name = worker(verb)[:_LONGEST_NAME]
        connection.execute(text("SELECT set_config('application_name', :name, false)"), {"name": name})
        statement = text("SELECT pg_try_advisory_lock(:key)")
        _await(
            lambda: bool(connection.execute(statement, {"key": key}).scalar_one()),
            lambda: _owner(connection, key),
            what,
            wait,
        )
        yield
    finally:
        # The server ends the session some time after its connection: whoever comes next shall not meet the lock meanwhile.
        with suppress(Exception):
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
        # The session ends with its connection, and the lock with the session: even where the server is gone.
        with suppress(Exception):
            connection.detach()
        connection.close()


def _owner(connection: Connection, key: int) -> str:
    halves = {"high": key >> _HALF & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}
    return str(connection.execute(text(_OWNER_QUERY), halves).scalar() or "")


def _await(claim: Callable[[], bool], owner: Callable[[], str], what: str, wait: timedelta) -> None:
    last = time.monotonic() + wait.total_seconds()
    while not claim():
        if time.monotonic() >= last:
            raise LockBusy(what, owner(), wait)
        time.sleep(_POLL_SECONDS)
