"""A small synthetic world to learn from: two views, a request input, a transform, and a label that depends on them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.timestamps import to_micros
from skewless.definitions.compiler import CompiledService
from skewless.model.training import train, training_set
from skewless.model.training.training_set import TrainingSet
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.project.learner import LightGbm
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from tests.models import tiny
from tests.tables.histories import instants, sources

START = datetime(2013, 2, 1, tzinfo=UTC)
SPLIT = TimeSplit(START, START + timedelta(days=40), START + timedelta(days=50), START + timedelta(days=60))
PARAMETERS = {"objective": "binary", "learning_rate": 0.3, "num_leaves": 15, "num_threads": 2}
LABEL = "late"
LABEL_COLUMN = LabelColumn(LABEL)
"""Known at the row's own time."""
ROWS = 4_000
HOUR_US = 3_600_000_000


def learner(rounds: int) -> LightGbm:
    return LightGbm(**PARAMETERS, num_iterations=rounds)


def definitions(data: Path) -> CompiledService:
    plan = tiny.plan()
    return CompiledService(plan, tiny.trace(), sources(data, plan))


def write_tables(data: Path) -> None:
    """Delays of 3 origins by the hour, known a minute later, and 200 aircraft; some values are null."""
    rng = np.random.default_rng(5)
    hours = 24 * 60
    event = to_micros(START) + np.repeat(np.arange(-5, hours - 5), 3) * HOUR_US
    table = {
        "origin": np.tile(["EWR", "JFK", "LGA"], hours),
        "mean": pa.array(rng.gamma(2, 10, 3 * hours).astype(np.float32), mask=rng.random(3 * hours) < 0.1),
        "departures": rng.integers(0, 20, 3 * hours),
        "gate": np.tile(["A", "B", None], hours),
        "event_timestamp": instants(event),
        "created_timestamp": instants(event + 60_000_000),
    }
    place = data / "delays" / "day=2013-01-31"
    place.mkdir(parents=True)
    pq.write_table(pa.table(table), place / "part-0.parquet")
    known = instants([to_micros(START) - HOUR_US] * 200)
    planes = {
        "tailnum": [f"N{number}" for number in range(200)],
        "age": rng.integers(0, 30, 200).astype(np.float64),
        "built": known,
        "event_timestamp": known,
        "created_timestamp": known,
    }
    (data / "planes").mkdir()
    pq.write_table(pa.table(planes), data / "planes" / "part-0.parquet")


def spine() -> pa.Table:
    rng = np.random.default_rng(6)
    times = to_micros(START) + np.sort(rng.integers(0, 60 * 24 * 60, ROWS)) * 60_000_000
    hour = (times // HOUR_US) % 24
    tail = rng.integers(0, 220, ROWS)
    risk = 0.15 * (hour > 15) + 0.5 * (tail % 7 == 0) + 0.2 * rng.random(ROWS)
    return pa.table(
        {
            TIMESTAMP: instants(times),
            "origin": rng.choice(["EWR", "JFK", "LGA"], ROWS),
            "tailnum": [f"N{number}" for number in tail],
            "hour": hour,
            LABEL: pa.array(risk > 0.3, mask=rng.random(ROWS) < 0.02),
        }
    )


def trained(folder: Path, data: Path) -> TrainingSet:
    """A training set in `folder` with its trained model."""
    training_set.run(definitions(data), spine(), folder)
    opened = TrainingSet(folder)
    train.run(opened, LABEL_COLUMN, SPLIT, learner(60))
    return opened


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def renamed(compiled: CompiledService, name: str) -> CompiledService:
    return CompiledService(msgspec.structs.replace(compiled.plan, name=name), compiled.transforms, compiled.sources)
