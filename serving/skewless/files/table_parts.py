"""The writer of parts: rows that are appended to a table as Parquet files of their own.

Readers of tables skip names that begin with a dot, so a part is there whole or not at all, and once it is written it
survives a power cut.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from skewless.contract.storage.part_encoding import encode_part
from skewless.contract.storage.part_files import PREFIX, part_name, part_time
from skewless.files.durable import write_file

_TAG = 16


def write_part(folder: Path, table: pa.Table, now: int) -> Path:
    """Append a few rows to the table in `folder` at `now` (microseconds); the file that holds them. Raises: OSError."""
    return _written(folder, encode_part(table, compact=False), now, uuid4().hex[:_TAG])


def write_part_once(folder: Path, table: pa.Table, now: int) -> Path:
    """Append rows that may be there already, as a part of just these rows; the file that holds them. Raises: OSError.

    The name holds the digest of the rows, and is greater than those that are there even where `now` is not.
    """
    content = encode_part(table, compact=True)
    digest = hashlib.sha256(content).hexdigest()[:_TAG]
    there = sorted(file.name for file in folder.glob(f"{PREFIX}*.parquet"))
    for name in there:
        if name.endswith(f"-{digest}.parquet"):
            return folder / name
    newest = max((part_time(name) or 0 for name in there), default=0)
    return _written(folder, content, max(now, newest + 1), digest)


def _written(folder: Path, content: pa.Buffer, now: int, tag: str) -> Path:
    path = folder / part_name(now, tag)
    write_file(path, content)
    return path
