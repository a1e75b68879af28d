"""Parts: small Parquet files that rows are appended to a table as. Append-only; what a table holds is never rewritten.

    <table>/pushed-<microseconds>-<random>.parquet

Readers of tables skip names that begin with a dot, so a part is there whole or not at all, and once `write_part` has
returned it survives a power cut. Names ascend, since readers take the columns of the newest file. A compaction folds
parts into the table's days.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

PREFIX = "pushed-"
FOLDED = "parts.parquet"
"""The file of a day that parts were folded into; it lies beside what `ingest` writes, and sorts before any part."""


RECORD = ".folded.json"
"""When parts that are still there were folded, in microseconds, by their path in the table."""


def folded_parts(folder: Path) -> dict[str, int]:
    """What the record of the table in `folder` says. Raises: msgspec.MsgspecError, OSError."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}


def part_name(now: int) -> str:
    """The name of a part that is written at `now` (microseconds since 1970)."""
    return f"{PREFIX}{now:016d}-{uuid4().hex[:16]}.parquet"


def part_time(name: str) -> int | None:
    """When a part was written, in microseconds; None where its name does not say (another writer's part)."""
    stamp = name.removeprefix(PREFIX).partition("-")[0]
    return int(stamp) if len(stamp) == 16 and stamp.isdigit() else None


def write_part(folder: Path, table: pa.Table, now: int) -> Path:
    """Append rows to the table in `folder`; where they are. They are on the disk when this returns. Raises: OSError."""
    new = not folder.is_dir()
    if new:
        folder.mkdir(parents=True, exist_ok=True)
    name = part_name(now)
    unfinished = folder / f".{name}"
    try:
        with unfinished.open("wb") as file:
            file.write(_encoded(table))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(folder / name)
        sync_folder(folder)
        if new:
            sync_folder(folder.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return folder / name


def _encoded(table: pa.Table) -> pa.Buffer:
    """A few rows as Parquet, in a third of the time that the defaults and zstd take. What it is folded into is smaller.

    Readers prune by the statistics of times.
    """
    sink = pa.BufferOutputStream()
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    pq.write_table(table, sink, compression="snappy", use_dictionary=False, write_statistics=times)
    return sink.getvalue()


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk. Raises: OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
