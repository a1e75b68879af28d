"""The content of a part: rows as Parquet.

Held by tests/files/test_table_parts.py.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq


def encode_part(table: pa.Table, *, compact: bool) -> pa.Buffer:
    """Rows as Parquet. `compact` is for files that stay; without it a few rows are encoded in a third of the time, and only
    times have statistics, by which readers prune.
    """
    sink = pa.BufferOutputStream()
    if compact:
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    pq.write_table(table, sink, compression="snappy", use_dictionary=False, write_statistics=times)
    return sink.getvalue()
