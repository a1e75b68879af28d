"""What a join says before it runs, and of rows that wait for values."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skewless.model.training import training_set
from skewless.offline.join.explain import explain
from skewless.offline.join.point_in_time import PointInTimeJoin, answers
from skewless.offline.join.spine import SpineFiles
from skewless.runtime.settings import LEAST_JOIN_MEMORY
from tests.offline.join.delay_plan import DELAYS, NOON, PLAN
from tests.oracles import Row, Spine
from tests.tables import large_view
from tests.tables.histories import sources, spine_table, write

HOUR = 3_600_000_000


def row(event: int, created: int, mean: float = 1.0) -> Row:
    return Row(("JFK",), event, created, False, (np.float32(mean),), DELAYS.fields)


def spine(*times: int) -> pa.Table:
    return spine_table(PLAN, [Spine({"origin": "JFK"}, at) for at in times])


def test_what_cannot_matter_is_not_read(tmp_path: Path):
    ttl = DELAYS.ttl_us
    for event in (NOON - 2 * ttl, NOON - ttl, NOON, NOON + 1):
        write(tmp_path, DELAYS, [row(event, event)], by_day=False)
    held = sources(tmp_path, PLAN)
    with_statuses = explain([PointInTimeJoin(PLAN, held, spine(NOON))]).views[0]
    assert (len(with_statuses.files), with_statuses.files_in_all) == (3, 4), "what is too old is stale, not absent"
    values_alone = explain([PointInTimeJoin(PLAN, held, spine(NOON), statuses=False)])
    assert (len(values_alone.views[0].row_groups), values_alone.views[0].row_groups_in_all) == (2, 4)
    assert values_alone.views[0].key_bytes > 0
    assert "2 of 4 files, 2 of 4 row groups" in str(values_alone)
    assert str(values_alone).startswith("1 rows in 1 block; about ")


def test_a_long_spine_is_told_in_blocks(tmp_path: Path):
    large_view.write_table(tmp_path, 1_000, files=2)
    large_view.write_spine(tmp_path / "spine.parquet", 200_000, 1_000)
    files = SpineFiles(tmp_path / "spine.parquet", datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    told = training_set.explain(large_view.definitions(tmp_path), files, memory=LEAST_JOIN_MEMORY)
    assert told.rows == 200_000
    assert told.blocks > 1
    assert told.memory <= LEAST_JOIN_MEMORY
    assert told.views[0].key_bytes > 0


def test_rows_that_wait_for_values_are_counted_and_the_mend_is_told(tmp_path: Path):
    write(tmp_path, DELAYS, [row(NOON, NOON + 10 * HOUR), row(NOON - HOUR, NOON + 10 * HOUR)])
    ages = [-1, 0, DELAYS.ttl_us, DELAYS.ttl_us + 1, 10 * HOUR]
    asked = spine(*(NOON + age for age in ages))
    found = answers(PointInTimeJoin(PLAN, sources(tmp_path, PLAN), asked).blocks())
    assert found.waiting == {"delays": 2}, "at once and at the ttl's end; not before, not beyond, not once it is known"
    warnings = training_set.WrittenTrainingSet(5, 2, found.waiting).warnings()
    assert len(warnings) == 1
    assert "'delays'" in warnings[0]
    assert "known_by: event_timestamp" in warnings[0]
    assert training_set.WrittenTrainingSet(5, 2, {"delays": 0}).warnings() == []


@pytest.mark.parametrize("created", [NOON, NOON + 1])
def test_a_row_that_is_known_in_time_waits_for_nothing(tmp_path: Path, created: int):
    write(tmp_path, DELAYS, [row(NOON, created)])
    found = answers(PointInTimeJoin(PLAN, sources(tmp_path, PLAN), spine(NOON + 1)).blocks())
    assert found.waiting == {"delays": 0}
    assert found.columns[next(iter(found.columns))].to_pylist() == [1.0]
