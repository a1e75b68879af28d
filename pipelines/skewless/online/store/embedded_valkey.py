"""The embedded Redis: one Valkey server per state folder, started where it is needed and stopped by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from skewless.contract.errors import SkewlessError
from skewless.contract.state_folder import StateFolders
from skewless.online.store.valkey_process import EmbeddedServerFailed, ValkeyProcess, free_port
from skewless.runtime.settings import ProjectSettings

START_SECONDS = 60.0
STOP_SECONDS = 10.0
SILENCE_SECONDS = 5.0
FREE_PORT = 0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class RunningValkey:
    """A server that answered just now; `started` says whether this call started it."""

    url: str
    pid: int
    persistent: bool
    started: bool


@dataclass(eq=False)
class OtherServerRuns(SkewlessError):
    """A server runs where one was asked for, and it is not as asked."""

    folder: str
    difference: str

    def __str__(self) -> str:
        return (
            f"the embedded Redis in {self.folder} runs already, but {self.difference}; `skewless down` stops it first"
        )


@dataclass(eq=False)
class StrangerOnSocket(SkewlessError):
    """Something answers on our socket that no start of ours vouches for."""

    socket: str
    pid: int

    def __str__(self) -> str:
        return (
            f"process {self.pid} answers on {self.socket}, but the state folder does not know it (was the folder "
            "deleted under a running server?); end that process, then try again"
        )


def start(
    folders: StateFolders, *, persistent: bool, port: int | None = None, seconds: float = START_SECONDS
) -> RunningValkey:
    """The running server of this state folder, started if need be; it outlives the calling process.

    Of several who start at once one does, and the others wait for its answer.

    Args:
        folders: whose socket it listens on.
        persistent: keep the data over a stop (append-only file, synced every second), else in memory only.
        port: listen on this port of the loopback too; `FREE_PORT` picks one.
        seconds: how long a start may take, the reading of an append-only file included.

    Raises:
        EmbeddedServerFailed: it does not come up.
        OtherServerRuns: it runs with another persistence or port.
        StrangerOnSocket: the socket is taken.
    """
    process = ValkeyProcess(folders)
    last = time.monotonic() + seconds
    while True:
        with process.claim() as lock:
            if lock is not None:
                _clear(process)
                process.launch(persistent=persistent, port=free_port() if port == FREE_PORT else port or 0, lock=lock)
                break
        if found := _found(process, started=False):
            return _as_asked(process, found, persistent=persistent, port=port)
        if time.monotonic() > last:
            raise EmbeddedServerFailed(process.folder, f"runs and has not answered for {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)
    return _await_answer(process, last, started=True)


def status(folders: StateFolders) -> RunningValkey | None:
    """The server of this state folder, or None where it does not run.

    Raises:
        EmbeddedServerFailed: the process lives and does not answer.
    """
    process = ValkeyProcess(folders)
    if not process.lives():
        return None
    return _await_answer(process, time.monotonic() + SILENCE_SECONDS, started=False)


def stop(folders: StateFolders, *, seconds: float = STOP_SECONDS) -> bool:
    """End the server of this state folder: SHUTDOWN, then TERM, then KILL, each given `seconds`.

    Returns:
        Whether there was one. Afterwards its socket and pid file are gone.

    Raises:
        EmbeddedServerFailed: it outlived all three.
    """
    process = ValkeyProcess(folders)
    lived = process.lives()
    for end in (process.shutdown, process.terminate, process.kill):
        if process.lives():
            end()
            _await_end(process, seconds)
    if process.lives():
        raise EmbeddedServerFailed(process.folder, f"does not end (process {process.pid_in_file()})")
    if folders.redis.is_dir():
        with process.claim() as lock:
            if lock is not None and process.answer() is None:
                process.sweep()
    return lived


def ensure(settings: ProjectSettings) -> str:
    """The URL of the online store; where that is the embedded server and it does not run, it is started, persistent."""
    if not settings.embedded:
        return settings.redis_url
    found = status(settings.folders) or start(settings.folders, persistent=True)
    return found.url


@contextmanager
def running(folders: StateFolders, *, persistent: bool = False, port: int | None = None) -> Iterator[RunningValkey]:
    """A server for the length of a block."""
    server = start(folders, persistent=persistent, port=port)
    try:
        yield server
    finally:
        stop(folders)


def _found(process: ValkeyProcess, *, started: bool) -> RunningValkey | None:
    answer = process.answer()
    if answer is None:
        return None
    return RunningValkey(process.url(answer.port), answer.pid, answer.persistent, started)


def _as_asked(process: ValkeyProcess, found: RunningValkey, *, persistent: bool, port: int | None) -> RunningValkey:
    if found.persistent != persistent:
        kept = "keeps its data over a stop" if found.persistent else "keeps its data in memory only"
        raise OtherServerRuns(process.folder, f"it {kept}")
    heard = urlsplit(found.url).port
    if port is not None and heard != port and not (port == FREE_PORT and heard):
        raise OtherServerRuns(process.folder, f"it listens on {found.url}")
    return found


def _clear(process: ValkeyProcess) -> None:
    """Remove what a dead server left on the way of a new one."""
    if stranger := process.answer():
        raise StrangerOnSocket(str(process.folders.redis_socket), stranger.pid)
    process.sweep()


def _await_answer(process: ValkeyProcess, last: float, *, started: bool) -> RunningValkey:
    while True:
        if found := _found(process, started=started):
            return found
        if not process.lives():
            raise EmbeddedServerFailed(process.folder, f"ended meanwhile: {process.last_words()}")
        if time.monotonic() > last:
            raise EmbeddedServerFailed(process.folder, "runs and does not answer")
        time.sleep(_POLL_SECONDS)


def _await_end(process: ValkeyProcess, seconds: float) -> None:
    last = time.monotonic() + seconds
    while process.lives() and time.monotonic() < last:
        time.sleep(_POLL_SECONDS)
