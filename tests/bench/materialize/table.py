"""What is materialized: a view of 10 features (9 numbers and a string), a row an entity and day, as Parquet by day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.timestamps import to_micros
from skewless.offline.tables.day_partitions import day_file
from skewless.offline.tables.source import TableSource

PROJECT, KEY, NAME = "bench", "entity_id", "readings"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
_NUMBERS = ("Float32", "Float32", "Float32", "Float64", "Float64", "Int64", "Int64", "Int64", "Int32")
FIELDS = (*(Field(f"f{place}", dtype) for place, dtype in enumerate(_NUMBERS)), Field("text", "String"))
VIEW = PlanView(NAME, NAME, (JoinKey(KEY, KEY, "Int64"),), FIELDS, 0, "created_timestamp")
_US = pa.timestamp("us", tz="UTC")


def source(folder: Path) -> TableSource:
    return TableSource(NAME, folder, "event_timestamp", "created_timestamp")


def write(folder: Path, entities: int, days: int) -> None:
    """Each day every entity once, in any order, at any time of the day; known a minute later."""
    rng = np.random.default_rng(20)
    texts = pa.array([f"segment-{number:04d}" for number in range(10_000)])
    for number in range(days):
        event = to_micros(FIRST + number * DAY) + rng.integers(0, 86_000_000_000, entities)
        columns = {
            KEY: pa.array(rng.permutation(entities)),
            "event_timestamp": pa.array(event).cast(_US),
            "created_timestamp": pa.array(event + 60_000_000).cast(_US),
        }
        for field, dtype in zip(FIELDS, _NUMBERS, strict=False):
            whole = rng.integers(0, 1_000_000, entities) if dtype.startswith("Int") else rng.normal(size=entities)
            columns[field.name] = pa.array(whole.astype(dtype.lower()))
        columns["text"] = texts.take(pa.array(rng.integers(0, 10_000, entities)))
        file = day_file(folder, (FIRST + number * DAY).date())
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), file, row_group_size=100_000)
