"""A table of delays by airport, file by file, for tests that read one back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import read_history
from tests.tables.histories import instants

NOON = 1_380_628_800_000_000
DAY = 86_400_000_000
VIEW = PlanView(
    "delays",
    "delays",
    (JoinKey("origin", "origin", "String"),),
    (Field("mean", "Float32"), Field("count", "Int64")),
    0,
    "created_timestamp",
    "gone",
)
F4 = pa.array([1.5], pa.float32())


def put(folder: Path, name: str = "part-0.parquet", **columns) -> Path:
    whole = {
        "origin": ["JFK"],
        "mean": F4,
        "count": [3],
        "gone": [False],
        "event_timestamp": instants([NOON]),
        "created_timestamp": instants([NOON + 1]),
    } | columns
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: column for name, column in whole.items() if column is not None}), file)
    return file


def source(path: Path, **renamed: str) -> TableSource:
    return TableSource("delays", path, "event_timestamp", "created_timestamp", tuple(renamed.items()))


def read(folder: Path, **renamed: str):
    return read_history(VIEW, source(folder, **renamed), source(folder).files())
