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
_S3 = "s3://"
_S3_OPTIONS = {
    "AWS_ACCESS_KEY_ID": "access_key",
    "AWS_SECRET_ACCESS_KEY": "secret_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_DEFAULT_REGION": "region",
}
"""Arrow's names of what a credential source gives."""


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


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where the credentials of a table are kept: the fields of Feast's `ConnectionRef`, and none of them a secret."""

    provider: str
    name: str
    namespace: str = ""
    connection_type: str = ""
    auth_type: str = "secret"
    params: tuple[tuple[str, str], ...] = ()

    def resolve(self) -> dict[str, str]:
        """The credentials, as environment variables name them."""
        from feast.credentials import ConnectionRef, resolve_credentials  # noqa: PLC0415 - few tables have such

        reference = ConnectionRef(
            self.provider, self.name, self.namespace, self.connection_type, self.auth_type, dict(self.params)
        )
        return dict(resolve_credentials(reference) or {})


@dataclass(frozen=True, slots=True)
class RemoteTable:
    """The address of a table in object storage, a file or a folder: `url` as in the definition, and for S3 the `endpoint` of
    a server other than Amazon's. It is opened where it is used, with the credentials of that process.
    """

    url: str
    endpoint: str = ""
    credentials: CredentialSource | None = None

    def open(self) -> tuple[FileSystem, str]:
        """The filesystem and the table's path in it: Arrow's own, else fsspec's if it is installed.

        Raises: RemoteUnreadable.
        """
        import pyarrow as pa  # noqa: PLC0415 - whoever decodes an address needs no Arrow

        try:
            filesystem, root = self._opened()
        except (pa.ArrowException, ImportError, ValueError, OSError) as error:
            raise RemoteUnreadable(self.url, str(error)) from error
        return filesystem, root.rstrip("/")

    def _opened(self) -> tuple[FileSystem, str]:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import fs  # noqa: PLC0415

        if self.url.startswith(_S3) and (self.endpoint or self.credentials):
            known = self.credentials.resolve() if self.credentials else {}
            options = {name: known[variable] for variable, name in _S3_OPTIONS.items() if known.get(variable)}
            if self.endpoint:
                options["endpoint_override"] = self.endpoint
            return fs.S3FileSystem(**options), self.url.removeprefix(_S3)
        try:
            filesystem, root = fs.FileSystem.from_uri(self.url)
            return filesystem, str(root)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            import fsspec  # noqa: PLC0415

            filesystem, root = fsspec.core.url_to_fs(self.url)
            return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), str(root)

    def fetch(self, mirror: Path, wanted: Callable[[PurePosixPath], bool]) -> bool:
        """Update `mirror` with the current Parquet files of the table whose paths below its root are `wanted`; whether the
        table has any files. A table that is a single file is mirrored as a single file.
        Raises: RemoteUnreadable, DeltaUnreadable.
        """
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - most tables are local

        filesystem, root = self.open()
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
