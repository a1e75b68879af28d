"""Parts: small Parquet files that rows are appended to a table as. Append-only; what a table holds is never rewritten.

    <table>/pushed-<microseconds>-<tag>.parquet

Names ascend, since readers take the columns of the newest file. A compaction folds parts into the table's days.
`skewless.files.table_parts` writes them.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

PREFIX = "pushed-"
FOLDED = "parts.parquet"
"""The file of a day that parts were folded into; it lies beside what `ingest` writes, and sorts before any part."""


RECORD = ".folded.json"
"""When parts that are still there were folded, in microseconds, by their path in the table."""


def parse_folded(content: bytes) -> dict[str, int]:
    """What the record of a table says. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(content, type=dict[str, int])


def part_name(now: int, tag: str) -> str:
    """The name of a part that is written at `now` (microseconds since 1970); the tag tells apart those of one time."""
    return f"{PREFIX}{now:016d}-{tag}.parquet"


def part_time(name: str) -> int | None:
    """When a part was written, in microseconds; None where its name does not say (another writer's part)."""
    stamp = name.removeprefix(PREFIX).partition("-")[0]
    return int(stamp) if len(stamp) == 16 and stamp.isdigit() else None


def encode_part(table: pa.Table, *, compact: bool) -> pa.Buffer:
    """Rows as Parquet; of a few rows in a third of the time where they are not compact. What they are folded into is.

    Readers prune by the statistics of times.
    """
    sink = pa.BufferOutputStream()
    if compact:
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    pq.write_table(table, sink, compression="snappy", use_dictionary=False, write_statistics=times)
    return sink.getvalue()
