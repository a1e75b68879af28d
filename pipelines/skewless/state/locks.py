"""Turns: who works on something alone, and who is told to wait for them. A turn ends with its process, even a killed one.

Waiting is bounded; whoever waited in vain is told who has the turn.
"""

from __future__ import annotations

import fcntl
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

WAIT = timedelta(minutes=1)
"""How long a verb waits for its turn, unless somebody says otherwise."""
_POLL_SECONDS = 0.05
_LONGEST_NAME = 63
_HALF = 32
_HOLDER = """
SELECT activity.application_name FROM pg_locks JOIN pg_stat_activity activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid::bigint = :high AND objid::bigint = :low AND objsubid = 1
"""


@dataclass(eq=False)
class LockBusy(SkewlessError):
    """Somebody else works on `what`, and went on doing so for as long as we waited."""

    transient = True

    what: str
    holder: str
    waited: timedelta

    def __str__(self) -> str:
        return (
            f"{self.holder or 'another process'} works on {self.what} and did not end within "
            f"{self.waited.total_seconds():g} s; let it end, then run this again"
        )


def worker(verb: str) -> str:
    """How the process that does `verb` is called in others' errors."""
    return f"`skewless {verb}` (process {os.getpid()} on {socket.gethostname()})"


@contextmanager
def file_turn(lock: Path, what: str, verb: str, wait: timedelta = WAIT) -> Iterator[None]:
    """Alone among those on this machine who take a turn at the file `lock`. Raises: LockBusy, OSError."""
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)

    def taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, worker(verb).encode(), 0)
        return True

    try:
        _await(taken, lambda: os.pread(handle, 1_000, 0).decode(errors="replace"), what, wait)
        yield
    finally:
        os.close(handle)


@contextmanager
def database_turn(engine: Engine, what: str, verb: str, wait: timedelta = WAIT) -> Iterator[None]:
    """Alone among those who share a database: for SQLite by a file beside it, for PostgreSQL by an advisory lock.

    Raises: LockBusy, and what the database raises.
    """
    if engine.dialect.name == "sqlite":
        folder = Path(f"{engine.url.database}.turns")
        folder.mkdir(parents=True, exist_ok=True)
        with file_turn(folder / hashlib.sha256(what.encode()).hexdigest()[:32], what, verb, wait):
            yield
        return
    key = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big", signed=True)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        name = worker(verb)[:_LONGEST_NAME]
        connection.execute(text("SELECT set_config('application_name', :name, false)"), {"name": name})
        lock = text("SELECT pg_try_advisory_lock(:key)")
        _await(
            lambda: bool(connection.execute(lock, {"key": key}).scalar_one()),
            lambda: _holder(connection, key),
            what,
            wait,
        )
        yield
    finally:
        # The session ends with its connection, and the lock with the session: even where the server is gone.
        with suppress(Exception):
            connection.detach()
        connection.close()


def _holder(connection: Connection, key: int) -> str:
    halves = {"high": key >> _HALF & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}
    return str(connection.execute(text(_HOLDER), halves).scalar() or "")


def _await(taken: Callable[[], bool], holder: Callable[[], str], what: str, wait: timedelta) -> None:
    last = time.monotonic() + wait.total_seconds()
    while not taken():
        if time.monotonic() >= last:
            raise LockBusy(what, holder(), wait)
        time.sleep(_POLL_SECONDS)
