"""Runs a command and lets nothing of it outlive whoever asked for it, however that ended: `python guard.py COMMAND ...`.

The starter holds the other end of the guard's standard input and makes the guard lead a session. When the input ends,
or on TERM, the command is asked to end; then, or when it ends by itself, whatever is left of the session is killed.
Airflow's tasks lead process groups of their own, so only the session holds them all.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 15.0
"""How long a command that was asked to end may take."""

_POLL_SECONDS = 0.1
_DEAD = ("Z", "X")


def guarded(words: list[str]) -> list[str]:
    """The words that run a command under a guard: standard library alone, so that it starts in milliseconds."""
    return [sys.executable, "-I", "-S", __file__, *words]


def run(
    words: list[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or to this process's."""
    theirs, ours = os.pipe()
    try:
        return subprocess.run(
            guarded(words),
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
        os.close(ours)


def kill_session(leader: int) -> None:
    """KILL all processes of a session but its leader, until there is none that could start another."""
    last = time.monotonic() + GRACE_SECONDS
    while (members := _members(leader)) and time.monotonic() < last:
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS / 10)


def _members(leader: int) -> list[int]:
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            pid, _, told = file.read_text().partition(" ")
            state, _, _, session, *_ = told.rpartition(")")[2].split()
            if int(session) == leader != int(pid) and state not in _DEAD:
                found.append(int(pid))
    return found


def main(words: list[str]) -> int:
    """Guard a command; its exit status, as a shell tells it."""
    asked = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, ask)
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None and not asked:
            if select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
                asked.append(0)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        kill_session(os.getpid())
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
