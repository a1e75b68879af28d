"""A subject among the outcomes: those know nobody but requests, so the served log has to say which of them to erase.

They go before the served rows do: a run that is killed in between still knows whose they were.

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
    """The outcomes of each model whose served log has rows about the subject; `logged` are its columns of keys."""
    for folder in sorted(served.glob(f"{_MODEL}*")):
        place = GroundTruth(served, folder.name.removeprefix(_MODEL)).path
        if place.is_dir() and len(asked := _requests(subject, folder, logged)):
            yield ErasableTable("outcomes", place, {key: [key] for key in KEYS}, requests=RequestRows(asked))


def _requests(subject: ErasureSubject, folder: Path, logged: Mapping[str, Sequence[str]]) -> pa.Table:
    """Id and row of all that was asked about the subject."""
    found = []
    for path in parquet_files(folder):
        file = pq.ParquetFile(path)
        held = set(file.schema_arrow.names)
        wanted = {column for columns in logged.values() for column in columns} & held
        if not wanted or not held.issuperset(KEYS):
            continue
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=[*KEYS, *sorted(wanted)])
            found.append(rows.filter(pa.array(subject.rows(rows, logged))).select(KEYS))
    return pa.concat_tables(found) if found else pa.table({key: [] for key in KEYS})
