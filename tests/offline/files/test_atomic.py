"""Folders and files appear whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from skewless.offline.files.atomic import new_folder, replace_folder, write_file
from tests.checkout import ROOT

KILLED = """
import os, signal, sys
from pathlib import Path
from skewless.offline.files.atomic import replace_folder
with replace_folder(Path(sys.argv[1])) as building:
    (building / "half").write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def seen(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("make", [replace_folder, new_folder])
def test_a_folder_appears_when_its_block_ends_well(tmp_path: Path, make):
    folder = tmp_path / "deep" / "set"
    with make(folder) as building:
        (building / "a").write_text("1")
        assert not folder.exists()
    assert seen(folder) == {"a": "1"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_is_replaced_whole(tmp_path: Path):
    folder = tmp_path / "set"
    for name in ("a", "b"):
        with replace_folder(folder) as building:
            (building / name).write_text(name)
    assert seen(folder) == {"b": "b"}
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("make", [replace_folder, new_folder])
@pytest.mark.parametrize("before", [True, False])
def test_an_exception_leaves_what_was(tmp_path: Path, make, before: bool):
    folder = tmp_path / "set"
    if before:
        folder.mkdir()
        (folder / "a").write_text("1")

    def interrupted() -> None:
        with make(folder) as building:
            (building / "b").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (seen(folder) if before else folder.exists()) == ({"a": "1"} if before else False)
    assert list(tmp_path.iterdir()) == [folder] * before


def test_a_new_folder_never_takes_anothers_place(tmp_path: Path):
    folder = tmp_path / "1.0.0"

    def slow() -> None:
        with new_folder(folder) as mine:
            (mine / "a").write_text("mine")
            with new_folder(folder) as quicker:
                (quicker / "a").write_text("theirs")

    with pytest.raises(FileExistsError, match=r"1\.0\.0"):
        slow()
    assert seen(folder) == {"a": "theirs"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_kill_leaves_what_was(tmp_path: Path):
    folder = tmp_path / "set"
    with replace_folder(folder) as building:
        (building / "a").write_text("1")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert seen(folder) == {"a": "1"}
    with replace_folder(folder) as building:
        (building / "b").write_text("2")
    assert seen(folder) == {"b": "2"}


def test_a_file_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "deep" / "champion"
    write_file(file, b"1.0.0")
    assert file.read_bytes() == b"1.0.0"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(file, b"2.0.0")
    assert file.read_bytes() == b"1.0.0"
    assert list(file.parent.iterdir()) == [file]
