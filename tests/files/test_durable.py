"""Files and folders appear whole or not at all, whoever is killed, and stay when the power fails."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.files import exchange
from skewless.files.durable import (
    create_file,
    make_folder,
    new_folder,
    remove_unfinished,
    replace_file,
    replace_folder,
    write_file,
)
from tests.faults.killed_calls import Killed, killer
from tests.faults.power_cut import lay_out, recorded
from tests.files.durable_writers import (
    FILE,
    FOLDER,
    OLD_FILE,
    OLD_FOLDER,
    WRITERS,
    Content,
    fill,
    makes_folder,
    puts_folder,
    replaces_folder,
    writes_cached_file,
)


def content(path: Path) -> Content:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return path.read_bytes() if path.exists() else None


def put(path: Path, old: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(old, bytes):
        path.write_bytes(old)
    elif old is not None:
        path.mkdir()
        for name, held in old.items():
            (path / name).write_bytes(held)


def new(writer: Callable[[Path], None]) -> Content:
    return FOLDER if writer in (makes_folder, replaces_folder, puts_folder) else FILE


def writers(function: Callable[..., None]) -> Callable[..., None]:
    """Each writer, in the place of old content and of none."""
    cases = [(writer, some) for writer, old in WRITERS for some in dict.fromkeys([repr(old), "None"])]
    named = [pytest.param(writer, eval(some), id=f"{writer.__name__}-{some != 'None'}") for writer, some in cases]
    return pytest.mark.parametrize(("writer", "old"), named)(function)


@pytest.fixture(scope="module")
def killed():
    with killer("tests.files.durable_writers", "by_name") as kill:
        yield kill


@writers
def test_a_killed_writer_leaves_the_old_content_or_the_new_one(tmp_path: Path, killed: Killed, writer, old: Content):
    for step in range(1, 50):
        path = tmp_path / str(step) / "deep" / "name"
        if old is not None:
            put(path, old)
        wanted = new(writer)
        ended = not killed(step, writer.__name__, str(path))
        assert content(path) in ([wanted] if ended else [old, wanted]), step
        if content(path) is None or writer is not makes_folder:
            writer(path)
        assert content(path) == wanted
        if ended:
            assert [file for file in path.parent.iterdir() if file.name != "name"] == []
            break
    assert step > 3


def law(
    writer: Callable[[Path], None],
    old: Content,
    root: Path,
    *,
    lasting: bool = True,
    unsynced: Callable[[int], bool] = lambda _: False,
) -> None:
    """After a power cut at any time there is the old content or the new one, and what was reported is there.

    `unsynced`: a fault, the modes of what the writer forgets to sync. Raises: AssertionError where the writer breaks it.
    """
    put(root / "deep" / "name", old)
    inode = root.stat().st_ino
    with recorded(root) as recording:
        real = os.fsync
        with patch.object(os, "fsync", lambda handle: unsynced(os.fstat(handle).st_mode) or real(handle)):
            writer(root / "deep" / "name")
    wanted = content(root / "deep" / "name")
    assert wanted != old

    @settings(max_examples=150, derandomize=True, database=None, report_multiple_bugs=False)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        length = data.draw(st.integers(0, len(recording.steps)) | st.just(len(recording.steps)))
        outcome = recording.draw_outcome(data.draw, length)
        with TemporaryDirectory(dir=root.parent) as other:
            path = Path(other) / "disk" / "deep" / "name"
            lay_out(outcome, inode, Path(other) / "disk")
            reported = length == len(recording.steps) and lasting
            assert content(path) in ([wanted] if reported else [old, wanted])
            if content(path) is None or writer is not makes_folder:
                with patch.object(os, "fsync"):  # 150 times
                    writer(path)
            assert content(path) == wanted

    holds()


@writers
def test_a_power_cut_takes_nothing_that_was_reported(tmp_path: Path, writer, old: Content):
    law(writer, old, tmp_path / "disk")


@pytest.mark.parametrize("old", [OLD_FILE, None])
def test_of_a_file_that_is_not_durable_a_power_cut_leaves_all_or_nothing(tmp_path: Path, old: Content):
    law(writes_cached_file, old, tmp_path / "disk", lasting=False)
    with pytest.raises(AssertionError):
        law(writes_cached_file, old, tmp_path / "again")


def renames_first(path: Path) -> None:
    make_folder(path.parent)
    building = path.with_name(".unfinished")
    building.write_bytes(FILE)
    building.replace(path)
    for place in (path, path.parent):
        handle = os.open(place, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def moves_aside(path: Path) -> None:
    """Replaces a folder by two renames."""
    building, aside = path.with_name(".unfinished"), path.with_name(".aside")
    for left in (building, aside):
        shutil.rmtree(left, ignore_errors=True)
    with new_folder(building) as folder:
        fill(folder)
    path.rename(aside)
    puts = building.rename(path)
    handle = os.open(puts.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


@pytest.mark.parametrize(
    ("writer", "old"), [(renames_first, OLD_FILE), (renames_first, None), (moves_aside, OLD_FOLDER)]
)
def test_the_law_refutes_writers_in_another_order(tmp_path: Path, writer, old: Content):
    with pytest.raises(AssertionError):
        law(writer, old, tmp_path / "disk")


@writers
@pytest.mark.parametrize("unsynced", [stat.S_ISDIR, stat.S_ISREG], ids=["folders", "files"])
def test_the_law_refutes_writers_that_do_not_sync(
    tmp_path: Path, writer, old: Content, unsynced: Callable[[int], bool]
):
    with pytest.raises(AssertionError):
        law(writer, old, tmp_path / "disk", unsynced=unsynced)


@writers
def test_an_error_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer, old: Content):
    put(tmp_path / "deep" / "name", old)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            writer(tmp_path / "deep" / "name")
    assert content(tmp_path / "deep" / "name") == old
    left = {file.name for file in (tmp_path / "deep").iterdir()} - {"name"}
    assert left == ({".growing"} if writer is puts_folder else set()), "what put_folder is given is the caller's"


@pytest.mark.parametrize("make", [replace_folder, new_folder, replace_file])
@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_leaves_what_was(tmp_path: Path, make: Any, before: bool):
    path = tmp_path / "name"
    old: Content = (OLD_FILE if make is replace_file else OLD_FOLDER) if before else None
    put(path, old)

    def interrupted() -> None:
        with make(path) as building:
            (building if make is replace_file else building / "a").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(path) == old
    assert list(tmp_path.iterdir()) == [path] * before


def test_a_new_folder_never_takes_anothers_place(tmp_path: Path):
    folder = tmp_path / "1.0.0"

    def slow() -> None:
        with new_folder(folder) as mine:
            (mine / "a").write_text("mine")
            with new_folder(folder) as quicker:
                (quicker / "a").write_text("theirs")

    with pytest.raises(FileExistsError, match=r"1\.0\.0"):
        slow()
    assert content(folder) == {"a": b"theirs"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_file_is_created_once(tmp_path: Path):
    assert create_file(tmp_path / "00000001.json", b"mine")
    assert not create_file(tmp_path / "00000001.json", b"theirs")
    assert content(tmp_path) == {"00000001.json": b"mine"}


def test_a_folder_that_holds_the_same_files_stays(tmp_path: Path):
    replaces_folder(tmp_path / "set")
    (tmp_path / "set" / "later").write_bytes(b"of another step")
    replaces_folder(tmp_path / "set")
    assert content(tmp_path / "set") == FOLDER | {"later": b"of another step"}


def test_permissions_are_those_of_the_process(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "deep" / "file", b"")
        write_file(tmp_path / "secret", b"", mode=0o600)
        makes_folder(tmp_path / "folder")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("deep", "deep/file", "secret", "folder")}
    assert modes == {"deep": 0o750, "deep/file": 0o640, "secret": 0o600, "folder": 0o750}


def test_what_killed_writers_left_is_removed(tmp_path: Path, killed: Killed):
    path = tmp_path / "day=2013-10-01" / "parts.parquet"
    put(path, OLD_FILE)
    put(path.with_name("parts.parquet-b"), FILE)
    put(path.with_name(".parts.parquet-of-another"), FILE)
    put(path.with_name(".parts.parquet"), FILE)
    for _ in range(2):
        assert killed(1, "writes_file", str(path))
    assert len(list(path.parent.iterdir())) == 6
    remove_unfinished(path)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        ".parts.parquet-of-another", "parts.parquet", "parts.parquet-b",
    ]  # fmt: skip


@pytest.mark.parametrize("refused", [errno.EINVAL, None])
def test_a_file_system_that_cannot_exchange_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int | None):
    def cannot(*_: object) -> int:
        exchange.ctypes.set_errno(refused)
        return -1

    monkeypatch.setattr(exchange, "_renameat2", cannot if refused else None)
    put(tmp_path / "set", OLD_FOLDER)
    replaces_folder(tmp_path / "set")
    put(tmp_path / ".growing-old", OLD_FOLDER)
    puts_folder(tmp_path / "set")
    assert content(tmp_path / "set") == FOLDER
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


def test_a_name_that_is_gone_cannot_be_exchanged(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="absent"):
        exchange.exchange_names(tmp_path / "absent", tmp_path / "neither")
