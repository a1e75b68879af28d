"""A view with a table of any size, row by row made from its number, so that what a spine must get is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.plan import Field, JoinKey, ModelColumn, Plan, PlanView, StoredFeature
from skewless.definitions.compiler import CompiledService
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.source import TableSource
from tests.tables.histories import instants

START = 1_356_998_400_000_000
ENTITIES = 1_000
STEP = 1_000_000
FIELDS = tuple(Field(f"f{place}", "Float64") for place in range(10))
VIEW = PlanView("large", "large", (JoinKey("id", "id", "Int64"),), FIELDS, 0, "event_timestamp")
PLAN = Plan("large", "p", (VIEW,), (), (), tuple(ModelColumn(f.name, StoredFeature("large", f.name)) for f in FIELDS))


def definitions(data: Path) -> CompiledService:
    return CompiledService(PLAN, None, {"large": TableSource("large", data / "large", TIMESTAMP, None)})


def write_table(data: Path, rows: int, *, files: int, seed: int = 1) -> int:
    """Row n is of entity n % ENTITIES, true from START + n steps on, and its features tell n and their place. The rows
    of a file are in random order, as are the files. The bytes of all rows in memory.
    """
    rng = np.random.default_rng(seed)
    (data / "large").mkdir(parents=True)
    parts = np.array_split(rng.permutation(rows), files)
    size = 0
    for place, part in enumerate(parts):
        columns = {field.name: part * 16.0 + at for at, field in enumerate(FIELDS)}
        table = pa.table({"id": part % ENTITIES, TIMESTAMP: instants(START + part * STEP), **columns})
        size += table.nbytes
        pq.write_table(table, data / "large" / f"{place}.parquet", row_group_size=50_000)
    return size


def write_spine(file: Path, rows: int, table_rows: int, *, seed: int = 2) -> None:
    """Spine rows at random times within the table's, of random entities."""
    rng = np.random.default_rng(seed)
    times = START + rng.integers(0, table_rows * STEP, rows)
    pq.write_table(pa.table({TIMESTAMP: instants(times), "id": rng.integers(0, ENTITIES, rows)}), file)


def expected(times: np.ndarray, entity: np.ndarray) -> np.ndarray:
    """The number of the row that answers, by arithmetic; -1 where there is none."""
    latest = (times - START) // STEP
    number = latest - (latest - entity) % ENTITIES
    return np.where(number >= 0, number, -1)
