"""A table in object storage, mirrored: each of its files is fetched once, and the join reads the local copy.

A file is taken for the one that is there while its size and its time are those of the storage's listing, which is
asked each time a table is opened. A file that left the table leaves the mirror.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyarrow import fs

from skewless.contract.errors import SkewlessError
from skewless.files.durable import replace_file
from skewless.offline.tables.delta_table import LOG, DeltaUnreadable

_AT_ONCE = 8
_TRIES = 3


@dataclass(eq=False)
class RemoteUnreadable(SkewlessError):
    """A table's storage does not answer, or not with the table."""

    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the table {self.url} cannot be read ({self.reason}); check the address, its s3_endpoint_override, the "
            "network and the credentials (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or the machine's role)"
        )


@dataclass(eq=False)
class RemoteReadOnly(SkewlessError):
    """Rows for a table in object storage or a Delta table, which are read and not written."""

    url: str

    def __str__(self) -> str:
        return f"the table {self.url} is read only; add the rows there, or push to a table in the data folder"


@dataclass(frozen=True, slots=True)
class RemoteTable:
    """Where a table lies: `root` is its file or folder as `filesystem` names it, `url` as its owner does."""

    url: str
    filesystem: fs.FileSystem
    root: str

    def fetch(self, mirror: Path, wanted: Callable[[PurePosixPath], bool]) -> bool:
        """Make `mirror` hold the table's Parquet files whose paths below its root are `wanted`, as they are now;
        whether the table has any. A table that is one file is a file there.
        Raises: RemoteUnreadable, DeltaUnreadable.
        """
        with self._told():
            found = self.filesystem.get_file_info(self.root)
            if found.type == fs.FileType.File:
                _bring(self.filesystem, found, mirror)
                return True
            infos = self.filesystem.get_file_info(fs.FileSelector(self.root, allow_not_found=True, recursive=True))
            if any(LOG in PurePosixPath(info.path).parts for info in infos):
                raise DeltaUnreadable(self.url, "its log is in object storage", "mount it, or write it as Parquet")
            there = {PurePosixPath(info.path).relative_to(self.root): info for info in infos if _is_parquet(info)}
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                some = [(info, mirror / path) for path, info in there.items() if wanted(path)]
                list(pool.map(lambda one: _bring(self.filesystem, *one), some))
        for copy in list(mirror.rglob("*.parquet")):
            if PurePosixPath(copy.relative_to(mirror)) not in there:
                copy.unlink(missing_ok=True)
        return bool(there)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RemoteUnreadable(self.url, str(error)) from error


def _is_parquet(info: fs.FileInfo) -> bool:
    return bool(info.type == fs.FileType.File and info.extension == "parquet")


def _bring(filesystem: fs.FileSystem, info: fs.FileInfo, copy: Path) -> None:
    for _ in range(_TRIES):
        if _is_there(info, copy):
            return
        # A copy that a power cut takes is fetched again.
        with suppress(_ChangedMeanwhile), replace_file(copy, durable=False) as building:
            with building.open("wb") as file, filesystem.open_input_stream(info.path) as stream:
                shutil.copyfileobj(stream, file, 1 << 20)
            before, info = info, filesystem.get_file_info(info.path)
            if not _same(before, info) or building.stat().st_size != info.size:
                raise _ChangedMeanwhile
            os.utime(building, ns=(info.mtime_ns or 0, info.mtime_ns or 0))
            return
    raise OSError(f"{info.path} changed {_TRIES} times while it was read")


class _ChangedMeanwhile(Exception):
    """An object changed while it was fetched."""


def _same(info: fs.FileInfo, now: fs.FileInfo) -> bool:
    return bool((info.size, info.mtime_ns) == (now.size, now.mtime_ns))


def _is_there(info: fs.FileInfo, copy: Path) -> bool:
    if not copy.is_file():
        return False
    held = copy.stat()
    return held.st_size == info.size and held.st_mtime_ns == (info.mtime_ns or 0)
