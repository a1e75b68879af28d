"""What is joined: three tables of ten features, a spine, and what the oracle says for a sample of its rows.

Every table has 100,000 entities over 30 days, in order of time as a log would be; of 0.5% of its rows entity and event
time are those of the row before, with another created time: the later created one is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from skewless.contract.plan import Field
from tests.oracles import Row, Rule, as_of, view_status

ENTITIES = 100_000
DAY_US = 86_400_000_000
START_US = 1_356_998_400_000_000
SPAN_US = 30 * DAY_US
TIES = 0.005
KEY, EVENT, CREATED, ROW_ID = "entity", "event_timestamp", "created_timestamp", "row_id"
TTL_DAYS = {"first": 0, "second": 7, "third": 0}
DTYPES = ("Float64",) * 5 + ("Float32",) * 3 + ("Int64",) * 2
SAMPLE = 200
_ROWS_A_WRITE = 1_000_000
_US = pa.timestamp("us", tz="UTC")
Answer = tuple[float | int | None, ...]


def features(view: str) -> list[str]:
    return [f"{view}_f{place}" for place in range(len(DTYPES))]


def fields(view: str) -> tuple[Field, ...]:
    return tuple(Field(name, dtype) for name, dtype in zip(features(view), DTYPES, strict=True))


def write_tables(folder: Path, rows: int) -> None:
    """`VIEW.parquet` for each view, written a million rows at a time."""
    folder.mkdir(parents=True)
    for seed, view in enumerate(TTL_DAYS):
        rng = np.random.default_rng(seed)
        with pq.ParquetWriter(folder / f"{view}.parquet", _part(view, rng, 0, 1, 1).schema) as writer:
            for begin in range(0, rows, _ROWS_A_WRITE):
                writer.write_table(_part(view, rng, begin, min(begin + _ROWS_A_WRITE, rows), rows))


def _part(view: str, rng: np.random.Generator, begin: int, end: int, rows: int) -> pa.Table:
    count = end - begin
    event = np.sort(rng.integers(START_US + SPAN_US * begin // rows, START_US + SPAN_US * end // rows, count))
    entity = rng.integers(0, ENTITIES, count)
    tied = np.flatnonzero(rng.random(count) < TIES)
    tied = tied[tied > 0]
    entity[tied], event[tied] = entity[tied - 1], event[tied - 1]
    created = event + rng.permutation(count)
    columns = {KEY: entity, EVENT: pa.array(event).cast(_US), CREATED: pa.array(created).cast(_US)}
    for name, dtype in zip(features(view), DTYPES, strict=True):
        columns[name] = rng.integers(0, 1_000, count) if dtype == "Int64" else rng.gamma(2, 10, count)
        if dtype == "Float32":
            columns[name] = columns[name].astype(np.float32)
    return pa.table(columns)


def write_spine(file: Path, rows: int) -> None:
    """Random entities at random times of the 30 days, numbered, in no order of time."""
    rng = np.random.default_rng(rows)
    times = pa.array(START_US + rng.integers(0, SPAN_US, rows)).cast(_US)
    pq.write_table(pa.table({ROW_ID: np.arange(rows), KEY: rng.integers(0, ENTITIES, rows), EVENT: times}), file)


def sample_of(spine: pa.Table) -> pa.Table:
    """Some of its rows, the same ones each time."""
    picked = np.random.default_rng(7).choice(len(spine), min(SAMPLE, len(spine)), replace=False)
    return spine.take(pa.array(np.sort(picked)))


def right_answers(folder: Path, sample: pa.Table) -> dict[int, Answer]:
    """By row number what each feature of each view has to be, by the slow definition."""
    found: dict[int, list[float | int | None]] = {row: [] for row in sample.column(ROW_ID).to_pylist()}
    asked = list(zip(*(sample.column(n).to_pylist() for n in (ROW_ID, KEY)), _micros(sample, EVENT), strict=True))
    for view, days in TTL_DAYS.items():
        rule = Rule(days * DAY_US, "event_timestamp")
        held = _histories(folder, view, sample)
        for row, key, at in asked:
            used = as_of(held.get(key, []), (key,), at, rule)
            there = used is not None and view_status(used, at, rule) == "PRESENT"
            found[row] += list(used.values) if there else [None] * len(DTYPES)
    return {row: tuple(values) for row, values in found.items()}


def _histories(folder: Path, view: str, sample: pa.Table) -> Mapping[int, list[Row]]:
    """All rows of the sample's entities."""
    entities = ds.field(KEY).isin(sample.column(KEY).combine_chunks())
    table = ds.dataset(folder / f"{view}.parquet").to_table(filter=entities)
    held: dict[int, list[Row]] = {}
    columns = [table.column(name).to_pylist() for name in features(view)]
    times = zip(table.column(KEY).to_pylist(), _micros(table, EVENT), _micros(table, CREATED), strict=True)
    for (key, event, created), *values in zip(times, *columns, strict=True):
        cells = tuple(np.float32(v) if d == "Float32" else v for v, d in zip(values, DTYPES, strict=True))
        held.setdefault(key, []).append(Row((key,), event, created, False, cells, fields(view)))
    return held


def _micros(table: pa.Table, name: str) -> list[int]:
    times: list[int] = table.column(name).cast(_US).cast(pa.int64()).to_pylist()
    return times


def wrong_rows(right: Mapping[int, Answer], found: pa.Table) -> int:
    """How many rows of the sample a contender does not answer exactly once, with the right values."""
    names = [name for view in TTL_DAYS for name in features(view)]
    given: dict[int, list[Answer]] = {}
    columns = [found.column(name).to_pylist() for name in names]
    for row, *values in zip(found.column(ROW_ID).to_pylist(), *columns, strict=True):
        given.setdefault(row, []).append(tuple(None if v is None or v != v else v for v in values))  # noqa: PLR0124
    return sum(given.get(row) != [answer] for row, answer in right.items())
