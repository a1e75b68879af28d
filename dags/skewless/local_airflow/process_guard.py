"""Runs a command so that none of its processes outlives the starter, however that ended: `process_guard.py COMMAND ...`.

The starter holds the other end of the guard's standard input and makes the guard lead a session. When the input ends,
or on TERM, the command gets TERM; then, or when it ends by itself, all that is left of the session is killed.
Airflow's tasks lead their own process groups, so only the session covers them all.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 15.0
"""How long a command may take to end after TERM."""

_POLL_SECONDS = 0.1
_DEAD = ("Z", "X")
_PROC = Path("/proc")


def guarded(command: list[str]) -> list[str]:
    """The command line that runs a command under a guard, which imports the standard library alone to start fast."""
    return [sys.executable, "-I", "-S", __file__, *command]


def run(
    command: list[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or to this process's."""
    read_end, write_end = os.pipe()
    try:
        return subprocess.run(
            guarded(command),
            stdin=read_end,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.close(read_end)
        os.close(write_end)


def kill_session(leader: int) -> None:
    """KILL all processes of a session but its leader, until none is left."""
    last = time.monotonic() + GRACE_SECONDS
    while (members := _members(leader)) and time.monotonic() < last:
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS / 10)


def _members(leader: int) -> list[int]:
    members = []
    for pid, state in _processes():
        with suppress(OSError):  # it ended meanwhile, or nobody may ask about it
            if pid != leader and not state.startswith(_DEAD) and os.getsid(pid) == leader:
                members.append(pid)
    return members


def _processes() -> Iterator[tuple[int, str]]:
    """Each process of the machine, and the letter of its state first."""
    if _PROC.is_dir():
        for file in _PROC.glob("[0-9]*/stat"):
            with suppress(OSError):
                yield int(file.parent.name), file.read_text().rpartition(")")[2].strip()
        return
    # macOS has no /proc, and every POSIX system `ps`, which small containers of Linux lack.
    listing = subprocess.run(["ps", "-A", "-o", "pid=,state="], capture_output=True, text=True, check=True)  # noqa: S607
    for line in listing.stdout.splitlines():
        pid, _, state = line.strip().partition(" ")
        yield int(pid), state.strip()


def main(command: list[str]) -> int:
    """Guard a command; returns its exit status as a shell reports it."""
    stops = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stops.append(number)

    signal.signal(signal.SIGTERM, stop)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None and not stops:
            if select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
                stops.append(0)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        kill_session(os.getpid())
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
