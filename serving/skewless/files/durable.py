"""Durable writes: a file or folder appears whole or not at all, and stays once the call has returned.

    1. fill a temporary name beside the last one: `.<name>-<random>`, which readers skip
    2. fsync what was filled
    3. rename
    4. fsync the folder that holds the name

A process that is killed leaves the old content or the new one, and at most a temporary name. A power cut does the same,
and takes nothing that was reported as written. With `durable=False` the last step is left out: a power cut may take the
new content, whole, which is enough for a copy of what lies elsewhere. An error leaves no temporary name.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from skewless.files import exchange

_RANDOM = 16
_PERMISSIONS = 0o666
"""Of new files, less the process's umask."""


def write_file(path: Path, content: bytes | memoryview, *, durable: bool = True, mode: int = _PERMISSIONS) -> None:
    """Put a file in place; readers see the old one until the new one is there."""
    building = _filled(path, content, durable=durable, mode=mode)
    with _removed_on_error(building):
        building.replace(path)
        if durable:
            sync_folder(path.parent)


def create_file(path: Path, content: bytes | memoryview) -> bool:
    """Put a file in place if there is none; whether it is this call's."""
    building = _filled(path, content, durable=True, mode=_PERMISSIONS)
    try:
        os.link(building, path)
    except FileExistsError:
        return False
    finally:
        building.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


@contextmanager
def replace_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write a file to, which takes the place of `path` when the block ends well; else nothing changes."""
    make_folder(path.parent, durable=durable)
    building = _beside(path)
    with _removed_on_error(building):
        yield building
        _sync(building)
        building.replace(path)
        if durable:
            sync_folder(path.parent)


@contextmanager
def new_folder(folder: Path, *, durable: bool = True) -> Iterator[Path]:
    """A new folder to fill, which becomes `folder` when the block ends well; else nothing changes.

    Raises: FileExistsError where another writer was quicker.
    """
    with _building(folder, durable=durable) as building:
        yield building
        _sync_tree(building)
        try:
            building.rename(folder)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, "exists", str(folder)) from error
            raise
        if durable:
            sync_folder(folder.parent)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` when the block ends well; else nothing changes.

    Where `folder` holds the same files already it stays, with whatever later steps put beside them.
    """
    with _building(folder, durable=True) as building:
        yield building
        if not same_files(folder, building, [file.name for file in building.iterdir()]):
            put_folder(building, folder)


def put_folder(building: Path, folder: Path) -> None:
    """Put a filled folder in the place of `folder`, beside which it lies, and remove the one that was there."""
    _sync_tree(building)
    if folder.exists():
        exchange.exchange_names(building, folder)
        sync_folder(folder.parent)  # the new name is on the disk before the old content goes
        shutil.rmtree(building)
    else:
        building.rename(folder)
        sync_folder(folder.parent)


def same_files(folder: Path, other: Path, names: list[str]) -> bool:
    """Whether both folders hold files of these names with the same bytes."""
    _, differing, unreadable = filecmp.cmpfiles(folder, other, names, shallow=False)
    return not (differing or unreadable)


def make_folder(folder: Path, *, durable: bool = True) -> None:
    """Make a folder and those above it. Raises: NotADirectoryError where a file is in the way, OSError."""
    if not folder.is_dir():
        make_folder(folder.parent, durable=durable)
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
        if durable:
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk: a new name outlives a power cut only after that."""
    _sync(folder)


def remove_unfinished(path: Path) -> None:
    """Remove what killed writers of the file `path` left (of older versions, too); for a caller who writes it alone."""
    ours = re.compile(rf"\.{re.escape(path.name)}(-[0-9a-f]{{{_RANDOM}}})?")
    for file in path.parent.glob(f".{path.name}*"):
        if ours.fullmatch(file.name):
            file.unlink(missing_ok=True)


def remove_unfinished_folders(folder: Path) -> None:
    """Remove what killed makers of `folder` left beside it; for the one maker who succeeded."""
    ours = re.compile(rf"\.{re.escape(folder.name)}-[0-9a-f]{{{_RANDOM}}}")
    for left in folder.absolute().parent.iterdir():
        if ours.fullmatch(left.name) and left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def _filled(path: Path, content: bytes | memoryview, *, durable: bool, mode: int) -> Path:
    """A temporary file beside `path` that holds the content, on the disk."""
    make_folder(path.parent, durable=durable)
    building = _beside(path)
    with _removed_on_error(building):
        handle = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
    return building


@contextmanager
def _building(folder: Path, *, durable: bool) -> Iterator[Path]:
    make_folder(folder.parent, durable=durable)
    building = _beside(folder)
    building.mkdir()
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def _removed_on_error(building: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}-{uuid4().hex[:_RANDOM]}")


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder, and writes names with what they name
    # There only what is open for writing can be synced.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    for inside in folder.rglob("*"):
        _sync(inside)
    _sync(folder)
