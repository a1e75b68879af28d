"""A prediction server as a child process, for replays over HTTP.

Held by tests/server/test_served_log.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from skewless.contract.errors import SkewlessError
from skewless.settings.process_environment import child_environment

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
# Its standard input is a pipe of this process. The system closes that with this process, however it ends: killed, too.
_SERVE = """
import os, signal, threading

def end_with_parent():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=end_with_parent, daemon=True).start()
from skewless.server.cli import main
main()
"""


@dataclass(eq=False)
class PredictServerFailed(SkewlessError):
    """The server did not start, or did not become ready."""

    reason: str
    log: str

    def __str__(self) -> str:
        return f"the prediction server {self.reason}; its log is {self.log}"


@dataclass(frozen=True, slots=True)
class RunningPredictServer:
    """A server that is ready."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def server(
    settings: Mapping[str, str], port: int, log: Path, answers: str = "/readyz"
) -> Iterator[RunningPredictServer]:
    """A ready server on `port` of the loopback, for the length of the block; afterwards it has ended and its served
    log is on disk. It ends with this process, too. It is ready when it `answers` this path with 200.

    `settings` are SKEWLESS_ variables beside those of this process. Raises: PredictServerFailed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _SERVE, "serve", "--port", str(port)]
    environment = child_environment(settings)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(process, url + answers, log)
        yield RunningPredictServer(url, process)
    finally:
        _end(process)


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    status = "did not respond"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PredictServerFailed(f"ended with status {process.returncode}", str(log))
        try:
            response = httpx.get(url, timeout=2.0)
        except httpx.TransportError:
            time.sleep(_POLL_SECONDS)
            continue
        if response.status_code == httpx.codes.OK:
            return
        status = f"is not ready: {response.text}"
        time.sleep(_POLL_SECONDS)
    raise PredictServerFailed(status, str(log))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
