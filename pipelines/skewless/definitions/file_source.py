"""Feast's FileSource as a table that the join can read: local, or mirrored from object storage.

Held by tests/feast/test_object_storage.py.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import fsspec
from feast import FileSource
from feast.data_format import DeltaFormat, ParquetFormat
from feast.data_source import DataSource

from skewless.contract.errors import InvalidPlan
from skewless.offline.tables.object_storage import CredentialSource, RemoteTable
from skewless.offline.tables.source import TableSource

MIRRORS = ".mirrors"
_ARROW_SCHEMES = frozenset(("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss", "file"))


def table_of(
    name: str, source: DataSource | None, data: Path, *, timestamp: str = "", created: str = ""
) -> TableSource:
    """The table of a FileSource. `name` is for errors; `timestamp` and `created` override the source's time columns, whose
    names may be mapped: a view names times, keys and features by their mapped names.

    A relative path starts at `data`. A remote table (`s3://`, `gs://`, or any scheme that fsspec supports) is mirrored
    below it. Raises: InvalidPlan.
    """
    files = parquet(name, source)
    remote = _remote(name, files) if "://" in files.path else None
    path = data / files.path
    if remote is not None:
        digest = hashlib.sha256(f"{files.path} {files.s3_endpoint_override}".encode()).hexdigest()[:16]
        path = data / MIRRORS / digest / PurePosixPath(urlsplit(files.path).path or files.path).name
    renamed = {new: old for old, new in (files.field_mapping or {}).items()}
    event, created_column = files.timestamp_field or "event_timestamp", files.created_timestamp_column
    return TableSource(
        view=name,
        path=path,
        timestamp_field=timestamp or renamed.get(event, event),
        created_timestamp_column=created or renamed.get(created_column, created_column) or None,
        renamed=tuple(sorted(renamed.items())),
        remote=remote,
    )


def parquet(name: str, source: DataSource | None) -> FileSource:
    """The source, if it is Parquet or Delta. Raises: InvalidPlan."""
    if not isinstance(source, FileSource):
        raise InvalidPlan(name, f"its source is a {type(source).__name__}; use a FileSource")
    if source.file_format is not None and not isinstance(source.file_format, ParquetFormat | DeltaFormat):
        raise InvalidPlan(
            name, f"its source is {type(source.file_format).__name__}; only Parquet and Delta are read yet"
        )
    return source


def _remote(name: str, files: FileSource) -> RemoteTable:
    """The address of a table in object storage. Raises: InvalidPlan where nothing can open such addresses."""
    url, reference = files.path, files.connection_ref
    for scheme in url.partition("://")[0].split("::"):
        if scheme not in _ARROW_SCHEMES:
            try:
                fsspec.get_filesystem_class(scheme)
            except (ImportError, ValueError) as error:
                raise InvalidPlan(name, f"its source is {url}, which cannot be opened: {error}") from error
    if reference is None:
        return RemoteTable(url, files.s3_endpoint_override or "")
    params = tuple(sorted(reference.params.items()))
    source = CredentialSource(
        reference.provider,
        reference.name,
        reference.namespace,
        reference.connection_type,
        reference.auth_type,
        params,
    )
    return RemoteTable(url, files.s3_endpoint_override or "", source)
