"""A local mirror of a table in object storage: each file is fetched once, and the join reads the local copy.

A copy is current while its size and modification time match the storage's listing, which is read each time a table is
opened. Files that were removed from the table are removed from the mirror.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from skewless.contract.errors import SkewlessError
from skewless.files.durable import replace_file
from skewless.offline.tables.delta_table import LOG, DeltaUnreadable

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_AT_ONCE = 8
_TRIES = 3


@dataclass(eq=False)
class RemoteUnreadable(SkewlessError):
    """The storage of a table cannot be read, or does not contain the table."""

    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the table {self.url} cannot be read ({self.reason}); check the address, its s3_endpoint_override, the "
            "network and the credentials (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or the machine's role)"
        )


@dataclass(eq=False)
class RemoteReadOnly(SkewlessError):
    """Rows were to be written to a table in object storage or a Delta table, which are read only."""

    url: str

    def __str__(self) -> str:
        return f"the table {self.url} is read only; add the rows there, or push to a table in the data folder"


class RemoteTable:
    """A table in object storage: `root` is the path of its file or folder in `filesystem`, `url` the address in the
    definition. A plain class, so that who decodes a `TableSource` does not import Arrow for its fields.
    """

    def __init__(self, url: str, filesystem: FileSystem, root: str) -> None:
        self.url, self.filesystem, self.root = url, filesystem, root

    def fetch(self, mirror: Path, wanted: Callable[[PurePosixPath], bool]) -> bool:
        """Update `mirror` with the current Parquet files of the table whose paths below its root are `wanted`; whether the
        table has any files. A table that is a single file is mirrored as a single file.
        Raises: RemoteUnreadable, DeltaUnreadable.
        """
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - most tables are local

        filesystem, root = self.filesystem, self.root
        with self._mapped_errors():
            info = filesystem.get_file_info(root)
            if info.is_file:
                _fetch_file(filesystem, info, mirror)
                return True
            infos = filesystem.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
            if any(LOG in PurePosixPath(info.path).parts for info in infos):
                raise DeltaUnreadable(self.url, "its log is in object storage", "mount it, or write it as Parquet")
            files = {PurePosixPath(info.path).relative_to(root): info for info in infos if _is_parquet(info)}
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                copies = [(info, mirror / path) for path, info in files.items() if wanted(path)]
                list(pool.map(lambda pair: _fetch_file(filesystem, *pair), copies))
        for copy in list(mirror.rglob("*.parquet")):
            if PurePosixPath(copy.relative_to(mirror)) not in files:
                copy.unlink(missing_ok=True)
        return bool(files)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RemoteUnreadable(self.url, str(error)) from error


def _is_parquet(info: FileInfo) -> bool:
    return bool(info.is_file and info.extension == "parquet")


def _fetch_file(filesystem: FileSystem, info: FileInfo, copy: Path) -> None:
    for _ in range(_TRIES):
        if _is_current(info, copy):
            return
        # Not durable: a copy that is lost in a power cut is fetched again.
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


def _same(info: FileInfo, current: FileInfo) -> bool:
    return bool((info.size, info.mtime_ns) == (current.size, current.mtime_ns))


def _is_current(info: FileInfo, copy: Path) -> bool:
    if not copy.is_file():
        return False
    stat = copy.stat()
    return stat.st_size == info.size and stat.st_mtime_ns == (info.mtime_ns or 0)
