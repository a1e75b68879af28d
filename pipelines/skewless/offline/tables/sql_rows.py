"""Rows of a query: by DuckDB, over files, folders and object storage, or by a database that SQLAlchemy opens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from uuid import UUID

import duckdb
import fsspec
import pyarrow as pa
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from skewless.offline.tables.row_shape import IngestMismatch
from skewless.runtime.settings import POSTGRESQL
from skewless.settings.process_environment import variable

Parameters = Mapping[str, date | int | float]
_ROWS = 50_000
_LOCAL = {"file", "http", "https"}
_ORIGIN = "its query"


def duckdb_batches(
    table: str, sql: str, parameters: Parameters, *, root: Path, timezone: str
) -> Iterator[pa.RecordBatch]:
    """The rows of a query of DuckDB. Relative paths start at `root`; `timezone` is the zone of times without one.

    Raises: IngestMismatch.
    """
    try:
        with duckdb_connection(sql, root=root, timezone=timezone) as connection:
            yield from connection.sql(sql, params=dict(parameters) or None).to_arrow_reader(_ROWS)
    except duckdb.Error as error:
        raise IngestMismatch(table, _ORIGIN, f"DuckDB says: {first_line(error)}") from error
    except ImportError as error:
        raise IngestMismatch(table, _ORIGIN, f"its storage needs a package: {error}") from error


@contextmanager
def duckdb_connection(sql: str, *, root: Path, timezone: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that finds relative paths below `root`, and the storage of every address in the query; `timezone` is
    the zone of times without one. Raises: ImportError for a storage whose package is not installed.
    """
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{_quoted(str(root))}'")
        connection.execute(f"SET TimeZone = '{_quoted(timezone)}'")
        for scheme in set(re.findall(r"\b([a-z][a-z0-9]*)://", sql)) - _LOCAL:
            connection.register_filesystem(_filesystem(scheme))
        yield connection


def database_batches(table: str, sql: str, parameters: Parameters, url: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query of a database, read in parts. The URL, which may have a password, is in no message.

    Raises: IngestMismatch.
    """
    escaped = re.sub(r"\$(start|end|since)\b", r":\1", sql.replace(":", r"\:"))
    try:
        place = make_url(url)
        place = place.set(drivername=POSTGRESQL.get(place.drivername, place.drivername))
        engine = create_engine(place)
    except (ArgumentError, ImportError) as error:
        raise IngestMismatch(
            table, _ORIGIN, f"its URL is not one that SQLAlchemy opens ({type(error).__name__})"
        ) from None
    try:
        with engine.connect().execution_options(stream_results=True, yield_per=_ROWS) as connection:
            result = connection.execute(text(escaped), dict(parameters))
            names = list(result.keys())
            for part in result.partitions():
                yield pa.RecordBatch.from_pydict(
                    {name: _array([row[n] for row in part]) for n, name in enumerate(names)}
                )
    except DBAPIError as error:
        raise IngestMismatch(table, _ORIGIN, f"the database says: {' '.join(str(error.orig).split())}") from None
    except (SQLAlchemyError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise IngestMismatch(table, _ORIGIN, f"its rows cannot be read: {error}") from error
    finally:
        engine.dispose()


def _array(values: list[object]) -> pa.Array:
    return pa.array([str(value) if isinstance(value, UUID) else value for value in values])


class _ArrowStorage(ArrowFSWrapper):  # type: ignore[misc]  # it has no types
    """A storage of Arrow under the scheme by which DuckDB looks for it."""

    def __init__(self, storage: fs.FileSystem, scheme: str) -> None:
        super().__init__(storage)
        self._scheme = scheme

    @property
    def protocol(self) -> str:
        return self._scheme


def first_line(error: duckdb.Error) -> str:
    """The line of an error that says what is wrong; of one that Python code raised inside DuckDB it is the last, and of a
    value of a CSV file that is not of its column's type there are two.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    value = [line for line in lines[1:] if line.startswith("Error when converting column")]
    return lines[-1] if lines[0].startswith("Traceback") else ": ".join([lines[0], *value[:1]])


def _quoted(value: str) -> str:
    return value.replace("'", "''")


def _filesystem(scheme: str) -> fsspec.AbstractFileSystem:
    """The storage of a scheme: by fsspec's package for it where that is installed, else by Arrow. Raises: ImportError."""
    try:
        return fsspec.filesystem(scheme)
    except ImportError:
        if scheme not in ("s3", "gs", "gcs"):
            raise
    endpoint = variable("AWS_ENDPOINT_URL_S3") or variable("AWS_ENDPOINT_URL")
    storage = fs.S3FileSystem(endpoint_override=endpoint) if scheme == "s3" else fs.GcsFileSystem()
    return _ArrowStorage(storage, scheme)
