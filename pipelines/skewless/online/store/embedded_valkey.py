"""The embedded Redis: one Valkey server per state folder, started on demand and stopped by command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from skewless.contract.errors import SkewlessError
from skewless.contract.state_folder import StateFolders
from skewless.online.store.valkey_process import EmbeddedServerFailed, ValkeyProcess, free_port, valkey_server
from skewless.runtime.settings import ProjectSettings

START_SECONDS = 60.0
STOP_SECONDS = 10.0
SILENCE_SECONDS = 5.0
FREE_PORT = 0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class RunningValkey:
    """A server that has just answered; `started` says whether this call started it."""

    url: str
    pid: int
    persistent: bool
    started: bool


@dataclass(eq=False)
class OtherServerRuns(SkewlessError):
    """A server runs already, with options other than the requested ones."""

    folder: str
    difference: str

    def __str__(self) -> str:
        return (
            f"the embedded Redis in {self.folder} runs already, but {self.difference}; `skewless down` stops it first"
        )


@dataclass(eq=False)
class StrangerOnSocket(SkewlessError):
    """A server answers on the socket of the state folder, but does not hold the folder's lock."""

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
    """The running server of this state folder, started if needed; it outlives the calling process.

    Of several simultaneous calls one starts the server, and the others wait until it answers.

    Args:
        folders: the state folder whose socket it listens on.
        persistent: keep the data after a stop (append-only file, synced every second), else in memory only.
        port: listen on this port of the loopback too; `FREE_PORT` picks one.
        seconds: how long a start may take, the reading of an append-only file included.

    Raises:
        EmbeddedServerFailed: it does not start.
        OtherServerRuns: it runs with another persistence or port.
        StrangerOnSocket: the socket is taken.
        UnsupportedPlatform: there is no such server for this system.
    """
    valkey_server()  # before anything is written
    process = ValkeyProcess(folders)
    last = time.monotonic() + seconds
    while True:
        with process.claim() as lock:
            if lock is not None:
                _clear(process)
                process.launch(persistent=persistent, port=free_port() if port == FREE_PORT else port or 0, lock=lock)
                break
        if server := _running_server(process, started=False):
            return _check_options(process, server, persistent=persistent, port=port)
        if time.monotonic() > last:
            raise EmbeddedServerFailed(process.folder, f"runs and has not answered for {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)
    return _await_answer(process, last, started=True)


def status(folders: StateFolders) -> RunningValkey | None:
    """The server of this state folder, or None if it does not run.

    Raises:
        EmbeddedServerFailed: the process is alive and does not answer.
    """
    process = ValkeyProcess(folders)
    if not process.is_alive():
        return None
    return _await_answer(process, time.monotonic() + SILENCE_SECONDS, started=False)


def stop(folders: StateFolders, *, seconds: float = STOP_SECONDS) -> bool:
    """Stop the server of this state folder: SHUTDOWN, then TERM, then KILL, each with `seconds` to take effect.

    Returns:
        Whether one was running. Afterwards its socket and pid file are removed.

    Raises:
        EmbeddedServerFailed: it outlived all three.
    """
    process = ValkeyProcess(folders)
    was_running = process.is_alive()
    for end in (process.shutdown, process.terminate, process.kill):
        if process.is_alive():
            end()
            _await_end(process, seconds)
    if process.is_alive():
        raise EmbeddedServerFailed(process.folder, f"does not end (process {process.pid_in_file()})")
    if folders.redis.is_dir():
        with process.claim() as lock:
            if lock is not None and process.info() is None:
                process.remove_stale_files()
    return was_running


def ensure(settings: ProjectSettings) -> str:
    """The URL of the online store; the embedded server is started, with persistence, if it is used and not running."""
    if not settings.embedded:
        return settings.redis_url
    server = status(settings.folders) or start(settings.folders, persistent=True)
    return server.url


@contextmanager
def running(folders: StateFolders, *, persistent: bool = False, port: int | None = None) -> Iterator[RunningValkey]:
    """A server for the length of a block."""
    server = start(folders, persistent=persistent, port=port)
    try:
        yield server
    finally:
        stop(folders)


def _running_server(process: ValkeyProcess, *, started: bool) -> RunningValkey | None:
    info = process.info()
    if info is None:
        return None
    return RunningValkey(process.url(info.port), info.pid, info.persistent, started)


def _check_options(
    process: ValkeyProcess, server: RunningValkey, *, persistent: bool, port: int | None
) -> RunningValkey:
    if server.persistent != persistent:
        persistence = "keeps its data over a stop" if server.persistent else "keeps its data in memory only"
        raise OtherServerRuns(process.folder, f"it {persistence}")
    listening_port = urlsplit(server.url).port
    if port is not None and listening_port != port and not (port == FREE_PORT and listening_port):
        raise OtherServerRuns(process.folder, f"it listens on {server.url}")
    return server


def _clear(process: ValkeyProcess) -> None:
    """Remove the files of a dead server before a new one starts. Raises: StrangerOnSocket."""
    if stranger := process.info():
        raise StrangerOnSocket(str(process.folders.redis_socket), stranger.pid)
    process.remove_stale_files()


def _await_answer(process: ValkeyProcess, last: float, *, started: bool) -> RunningValkey:
    while True:
        if server := _running_server(process, started=started):
            return server
        if not process.is_alive():
            raise EmbeddedServerFailed(process.folder, f"ended meanwhile: {process.last_log_line()}")
        if time.monotonic() > last:
            raise EmbeddedServerFailed(process.folder, "runs and does not answer")
        time.sleep(_POLL_SECONDS)


def _await_end(process: ValkeyProcess, seconds: float) -> None:
    last = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < last:
        time.sleep(_POLL_SECONDS)
