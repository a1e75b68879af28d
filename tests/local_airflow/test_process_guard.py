"""What a guard runs ends with whoever asked for it, whatever it started and however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from skewless.local_airflow import process_guard
from tests.checkout import ROOT
from tests.services.processes import living
from tests.services.waiting import HANG_SECONDS

# As Airflow does: the command starts a worker, and that a task, which leads a process group and does not heed TERM.
FAMILY = """
import os, signal, sys, time
from pathlib import Path

if os.fork() == 0:
    if os.fork() == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(60)
while not Path(sys.argv[1]).exists() or not Path(sys.argv[1]).read_text():
    time.sleep(0.01)
print("started", flush=True)
time.sleep(60 if sys.argv[2] == "stays" else 0)
sys.exit(3)
"""
STARTER = """
import subprocess, sys
from skewless.local_airflow import process_guard
process = subprocess.Popen(process_guard.guarded(sys.argv[1:]), stdin=subprocess.PIPE, start_new_session=True)
process.wait()
"""
HASTY = """
import sys
from skewless.local_airflow import process_guard
process_guard.GRACE_SECONDS = 0.2
sys.exit(process_guard.main(sys.argv[1:]))
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(60)
"""


def family(tmp_path: Path, stays: str = "stays") -> list[str]:
    return [sys.executable, "-c", FAMILY, str(tmp_path / "task"), stays]


def task(tmp_path: Path) -> psutil.Process:
    return psutil.Process(int((tmp_path / "task").read_text()))


def started(tmp_path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        process_guard.guarded(family(tmp_path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout.readline() == b"started\n"
    return process


def close(process: subprocess.Popen[bytes]) -> None:
    process.stdin.close()


def term(process: subprocess.Popen[bytes]) -> None:
    process.terminate()


def kill(process: subprocess.Popen[bytes]) -> None:
    process_guard.kill_session(process.pid)


@pytest.mark.parametrize(
    ("end", "status"), [(close, 128 + signal.SIGTERM), (term, 128 + signal.SIGTERM), (kill, 128 + signal.SIGKILL)]
)
def test_whoever_is_asked_to_end_leaves_nothing(
    tmp_path: Path, end: Callable[[subprocess.Popen[bytes]], None], status: int
) -> None:
    with started(tmp_path) as process:
        left = task(tmp_path)
        assert os.getpgid(left.pid) == left.pid
        end(process)
        assert process.wait(HANG_SECONDS) == status
        assert not living([left], HANG_SECONDS)


def test_where_there_is_no_proc_ps_lists_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_guard, "_PROC", tmp_path / "proc")
    with started(tmp_path) as process:
        left = task(tmp_path)
        kill(process)
        assert process.wait(HANG_SECONDS) == 128 + signal.SIGKILL
        assert not living([left], HANG_SECONDS)


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    done = process_guard.run(family(tmp_path, "ends"), os.environ)
    assert (done.returncode, done.stdout) == (3, "started\n")
    with suppress(psutil.NoSuchProcess):
        assert not living([task(tmp_path)], HANG_SECONDS)


def test_a_killed_starter_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, *family(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        everything = psutil.Process(process.pid).children(recursive=True)
        assert len(everything) == 4
        assert task(tmp_path) in everything
        process.kill()
        assert not living(everything, HANG_SECONDS)


def test_a_command_that_does_not_heed_is_killed_in_the_end() -> None:
    command = [sys.executable, "-c", HASTY, sys.executable, "-c", STUBBORN]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        assert process.stdout.readline() == b"started\n"
        process.stdin.close()
        assert process.wait(HANG_SECONDS) == 128 + signal.SIGKILL
