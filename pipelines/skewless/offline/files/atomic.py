"""Writes a folder whole or not at all."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` when the block ends well; else nothing changes.

    Where `folder` holds the same files already it stays, with whatever later steps put beside them.
    """
    with _building(folder) as building:
        yield building
        if _holds(folder, building):
            return
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
            folder.rename(old / "was")
            building.rename(folder)
            shutil.rmtree(old)
        else:
            building.rename(folder)


def _holds(folder: Path, building: Path) -> bool:
    names = [file.name for file in building.iterdir()]
    _, differing, unreadable = filecmp.cmpfiles(folder, building, names, shallow=False)
    return not (differing or unreadable)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `folder` when the block ends well; else nothing changes.

    Raises: FileExistsError where somebody was quicker.
    """
    with _building(folder) as building:
        yield building
        try:
            building.rename(folder)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, "exists", str(folder)) from error
            raise


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        building.chmod(0o755)
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, for good; readers see the old one until the new one is there."""
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    building = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        building.chmod(0o644)
        building.replace(path)
        _settle(path.parent)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for good."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _settle(folder.parent)


def _settle(folder: Path) -> None:
    """A new name in a folder outlives a power cut only once the folder itself is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
