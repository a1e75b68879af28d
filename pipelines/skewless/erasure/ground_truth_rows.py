"""Finds a subject among the outcomes. Outcomes have request ids only, so the served log tells which of them to erase.

They are erased before the served rows: so a run that is killed in between still finds which outcomes are the subject's.

Held by tests/erasure/test_erase.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.erasure.parquet_rows import ErasableTable, RequestRows
from skewless.erasure.subject import ErasureSubject
from skewless.monitoring.served_log.ground_truth import KEYS, GroundTruth
from skewless.offline.tables.source import parquet_files

_MODEL = "model="


def tables(subject: ErasureSubject, served: Path, logged: Mapping[str, Sequence[str]]) -> Iterator[ErasableTable]:
    """The outcomes of each model whose served log has rows about the subject; `logged` maps keys to columns of the log."""
    for folder in sorted(served.glob(f"{_MODEL}*")):
        outcomes = GroundTruth(served, folder.name.removeprefix(_MODEL)).path
        if outcomes.is_dir() and len(requests := _requests(subject, folder, logged)):
            yield ErasableTable("outcomes", outcomes, {key: [key] for key in KEYS}, requests=RequestRows(requests))


def _requests(subject: ErasureSubject, folder: Path, logged: Mapping[str, Sequence[str]]) -> pa.Table:
    """The request id and row number of all served rows about the subject."""
    tables = []
    for path in parquet_files(folder):
        file = pq.ParquetFile(path)
        names = set(file.schema_arrow.names)
        key_columns = {column for columns in logged.values() for column in columns} & names
        if not key_columns or not names.issuperset(KEYS):
            continue
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=[*KEYS, *sorted(key_columns)])
            tables.append(rows.filter(pa.array(subject.rows(rows, logged))).select(KEYS))
    return pa.concat_tables(tables) if tables else pa.table({key: [] for key in KEYS})
