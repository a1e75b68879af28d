"""Writes a sequence of tables to one Parquet file whose row groups do not depend on how the rows were split.

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
    """Write at least one table; rows and columns written. Row groups have the same rows however the rows are split into
    tables, so equal rows give equal bytes.
    """
    first = next(tables)
    rows, buffered = 0, first.slice(0, 0)
    with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        for table in chain((first,), tables):
            rows += table.num_rows
            buffered = pa.concat_tables([buffered, table])
            full = buffered.num_rows - buffered.num_rows % _ROWS_A_GROUP
            for begin in range(0, full, _ROWS_A_GROUP):
                writer.write_table(buffered.slice(begin, _ROWS_A_GROUP))
            buffered = buffered.slice(full)
        if buffered.num_rows or not rows:
            writer.write_table(buffered)
    return rows, first.num_columns
