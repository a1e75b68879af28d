"""Features logged by Feast's own feature server, added to a Parquet table. Our server has the served log instead.

Held by tests/feast/test_offline_writes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feast.infra.offline_stores.file_source import FileLoggingDestination
from skewless.contract.timestamps import UtcMicros
from skewless.feast.errors import FeastUnsupported
from skewless.files.table_parts import write_part_once


def append_logs(
    logs: pa.Table | Path, destination: object, schema: pa.Schema, data: Path, now: UtcMicros
) -> list[Path]:
    """Add logged rows (a table, or a file or folder of Parquet) to their table at `now`; returns their files.

    A relative destination starts at `data`. `partition_by` writes a folder `column=value` for each value, and the
    column stays in the files too. Rows that are passed twice are stored once.
    Raises: FeastUnsupported; SourceMismatch for columns that the log does not have.
    """
    if not isinstance(destination, FileLoggingDestination) or "://" in destination.path:
        raise FeastUnsupported("feature logs elsewhere than in local files", "use FileLoggingDestination(path=...)")
    table = pq.read_table(logs, partitioning=None) if isinstance(logs, Path) else logs
    table = table.select(schema.names).cast(schema)
    folders = _folders(data / destination.path, table, destination.partition_by or ())
    return [write_part_once(folder, rows, now) for folder, rows in folders if len(rows)]


def _folders(folder: Path, rows: pa.Table, columns: Sequence[str]) -> Iterator[tuple[Path, pa.Table]]:
    if not columns:
        yield folder, rows
        return
    name, *rest = columns
    for value in rows.column(name).unique():
        same = pc.equal(rows.column(name), value) if value.is_valid else pc.is_null(rows.column(name))
        partition = folder / f"{name}={value.as_py() if value.is_valid else '__HIVE_DEFAULT_PARTITION__'}"
        yield from _folders(partition, rows.filter(same), rest)
