from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skewless.files.file_locks import try_lock

HOLDER = """
import os, sys
from skewless.files.file_locks import try_lock
print(try_lock(os.open(sys.argv[1], os.O_RDWR), shared=sys.argv[2] == "shared"), flush=True)
sys.stdin.read()
"""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    path.touch()
    command = [sys.executable, "-c", HOLDER, str(path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def free(path: Path, *, shared: bool = False) -> bool:
    with opened(path) as descriptor:
        return try_lock(descriptor, shared=shared)


@pytest.mark.parametrize(("kind", "shared", "admitted"), [
    ("exclusive", False, False), ("exclusive", True, False), ("shared", False, False), ("shared", True, True),
])  # fmt: skip
def test_a_lock_of_another_process(tmp_path: Path, kind: str, shared: bool, admitted: bool):
    with holder(tmp_path / "lock", kind):
        assert free(tmp_path / "lock", shared=shared) is admitted


def test_a_killed_process_holds_nothing(tmp_path: Path):
    with holder(tmp_path / "lock", "exclusive") as process:
        process.kill()
        process.wait()
        assert free(tmp_path / "lock")


def test_a_closed_file_is_free_and_keeps_its_text(tmp_path: Path):
    with opened(tmp_path / "lock") as descriptor:
        assert try_lock(descriptor)
        os.write(descriptor, b"its owner")
        assert not free(tmp_path / "lock")
        assert (tmp_path / "lock").read_bytes() == b"its owner"
    assert free(tmp_path / "lock")
