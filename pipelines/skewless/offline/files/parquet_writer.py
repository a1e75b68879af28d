"""Tables that come one after the other as one Parquet file whose row groups do not tell how they were cut.

Held by tests/model/scoring/test_batch_score.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_A_GROUP = 1 << 17


def write(file: Path, tables: Iterator[pa.Table]) -> tuple[int, int]:
    """Rows and columns written, of one table at least. Row groups have the same rows however the tables are cut, so
    that the same rows are the same bytes.
    """
    first = next(tables)
    rows, held = 0, first.slice(0, 0)
    with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        for table in chain((first,), tables):
            rows += table.num_rows
            held = pa.concat_tables([held, table])
            whole = held.num_rows - held.num_rows % _ROWS_A_GROUP
            for begin in range(0, whole, _ROWS_A_GROUP):
                writer.write_table(held.slice(begin, _ROWS_A_GROUP))
            held = held.slice(whole)
        if held.num_rows or not rows:
            writer.write_table(held)
    return rows, first.num_columns
