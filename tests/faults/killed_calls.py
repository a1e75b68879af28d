"""Kills a function in a process of its own, right before the n-th of its file operations."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skewless.files import exchange
from tests.checkout import ROOT

OPERATIONS = (
    *((os, name) for name in ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir")),
    (exchange, "exchange_names"),
)
Killed = Callable[..., bool]


@contextmanager
def killer(module: str, function: str) -> Iterator[Killed]:
    """Gives `killed(step, *arguments)`: whether the function came to its `step`-th file operation, where it is killed;
    else it ended well. Each call is a fork of one process, which imported what is slow to import.
    """
    command = [sys.executable, "-m", "tests.faults.killed_calls", module, function]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout

        def killed(step: int, *given: str | int) -> bool:
            print(json.dumps([step, given]), file=process.stdin, flush=True)
            status = int(process.stdout.readline())  # type: ignore[union-attr]
            assert status in (0, -signal.SIGKILL), f"it ended with {status}"
            return status != 0

        yield killed
        process.stdin.close()


@contextmanager
def spawner(module: str, function: str) -> Iterator[Callable[..., int]]:
    """Gives `spawn(*arguments)`: the process id of a fork that runs the function; `lives` says whether it does still."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.killed_calls", module, function, "spawn"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout

        def spawn(*given: str | int) -> int:
            print(json.dumps(given), file=process.stdin, flush=True)
            return int(process.stdout.readline())  # type: ignore[union-attr]

        yield spawn
        process.stdin.close()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _spawn(run: Callable[..., object]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children go without being asked for
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _die(sys.maxsize, run, json.loads(line))
        print(child, flush=True)


def _serve(run: Callable[..., object]) -> None:
    for line in sys.stdin:
        step, given = json.loads(line)
        child = os.fork()
        if child == 0:
            _die(step, run, given)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _die(step: int, run: Callable[..., object], given: list[Any]) -> None:
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*some: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*some, **named)

        return call

    for owner, name in OPERATIONS:
        setattr(owner, name, counted(getattr(owner, name)))
    status = 1
    try:
        run(*given)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _run = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    if sys.argv[3:]:
        _spawn(_run)
    else:
        _serve(_run)
