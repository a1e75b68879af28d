"""The point-in-time join against its slow definition, on Parquet files."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from skewless.contract.admission import FeatureStatus
from skewless.contract.model.assembler import wanted_features
from skewless.contract.plan import PlanView, StoredFeature
from skewless.contract.value_types import value_type
from skewless.offline.join import point_in_time
from skewless.offline.join.memory_budget import JoinBounds, bounds
from skewless.offline.join.point_in_time import TIMESTAMP, PointInTimeJoin, answers, join, request_values, spine_times
from skewless.offline.values.arrow_answers import answer
from skewless.runtime.errors import SourceMissing, SpineMismatch
from tests import oracles
from tests.offline.join.delay_plan import DELAYS, NOON, PLAN
from tests.oracles import Joined, Row, Spine, as_of, rule_of, view_status
from tests.strategies import MOMENTS, OLD_MOMENTS, UNIT, histories, plans, spines
from tests.tables.histories import (
    expected,
    forget_empty_columns,
    instants,
    source,
    sources,
    spine_table,
    stored,
    told,
    write,
)


@st.composite
def worlds(draw):
    plan = draw(plans())
    moments = draw(st.sampled_from([MOMENTS, OLD_MOMENTS]))
    past = draw(histories(plan, moments))
    for view in stored(plan):
        if view.join_keys and draw(st.booleans()):
            past[view.stored_as] += [_of_nobody(draw, row) for row in past[view.stored_as][:2]]
    return plan, past, draw(spines(plan, moments))


def _of_nobody(draw, row: Row) -> Row:
    """The same row with a null in its key."""
    place = draw(st.integers(0, len(row.key) - 1))
    key = tuple(None if at == place else value for at, value in enumerate(row.key))
    return Row(key, row.event, row.created, row.deleted, row.values, row.schema)


@st.composite
def layouts(draw) -> dict[str, object]:
    """How a table lies on disk: days, files a day, row groups."""
    return {
        "by_day": draw(st.booleans()),
        "files": draw(st.integers(1, 3)),
        "row_group": draw(st.sampled_from([None, 1, 2])),
    }


@st.composite
def tight(draw) -> JoinBounds:
    """Bounds so narrow that every batch, fetch and block is cut."""
    rows = st.integers(1, 4)
    return JoinBounds(draw(st.integers(1, 3)), draw(rows), draw(rows), draw(rows), 1, 1)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(worlds(), layouts(), st.booleans(), st.one_of(st.none(), tight()), st.booleans())
def test_the_join_is_its_slow_definition(world, layout, every_feature, narrow, older):
    plan, past, spine = world
    wanted = {view.name: view.fields for view in plan.views} if every_feature else wanted_features(plan)
    chosen = bounds if narrow is None else lambda *_: narrow
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(point_in_time, "wanted_features", lambda _: wanted),
        patch.object(point_in_time, "bounds", chosen),
    ):
        for view in stored(plan):
            write(Path(folder), view, past[view.stored_as], **layout)
            if older:
                forget_empty_columns(Path(folder), view)
        found = join(plan, sources(Path(folder), plan), spine_table(plan, spine))
        shown = answers(
            PointInTimeJoin(plan, sources(Path(folder), plan), spine_table(plan, spine), statuses=False).blocks()
        )
    joined = oracles.join(spine, past, plan)
    assert list(found) == [view.name for view in plan.views]
    for view in plan.views:
        assert told(found[view.name], wanted[view.name]) == expected(joined, view, wanted[view.name])
        assert shown.waiting[view.name] == sum(waits(past[view.stored_as], row, view) for row in spine)
        for place, field in enumerate(wanted[view.name]):
            column = shown.columns[StoredFeature(view.name, field.name)].combine_chunks()
            same = answer(value_type(field.dtype), found[view.name].values(place))
            assert pa.array(column).type == same.type
            assert as_bytes(column) == as_bytes(same)
        for row in joined:
            event(row[view.name].status)


def waits(past: list[Row], row: Spine, view: PlanView) -> bool:
    """Whether a spine row has no value of a view only because none was known yet, in words: by event time alone there
    is a newer row within the ttl.
    """
    key = tuple(row.keys[join_key.name] for join_key in view.join_keys)
    by_event = [one for one in past if one.key == key and None not in key and one.event <= row.at]
    newest = max((one.event for one in by_event), default=None)
    used = as_of(past, key, row.at, rule_of(view))
    if view_status(used, row.at, rule_of(view)) == "PRESENT" or newest is None:
        return False
    fresh = not view.ttl_us or row.at - newest <= view.ttl_us
    return fresh and (used is None or newest > used.event)


def as_bytes(column: pa.Array) -> tuple[list[bool], list[object]]:
    """Which values are null, and the bits of the others."""
    if pa.types.is_floating(column.type):
        integer = pa.int32() if column.type == pa.float32() else pa.int64()
        column = column.view(integer)
    if pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type):
        return column.is_valid().to_pylist(), [as_bytes(one.values) if one.is_valid else None for one in column]
    return column.is_valid().to_pylist(), column.to_pylist()


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(worlds(), st.integers(0, 4))
def test_a_store_that_was_last_filled_earlier(world, steps):
    plan, past, spine = world
    read_at = np.array([row.at for row in spine], np.int64) - steps * UNIT
    wanted = wanted_features(plan)
    with tempfile.TemporaryDirectory() as folder:
        for view in stored(plan):
            write(Path(folder), view, past[view.stored_as])
        found = join(plan, sources(Path(folder), plan), spine_table(plan, spine), read_at=read_at)
    for view in plan.views:
        rows = [{view.name: _filled(view, past, row, steps * UNIT)} for row in spine]
        assert told(found[view.name], wanted[view.name]) == expected(rows, view, wanted[view.name])


def _filled(view: PlanView, past, row: Spine, ago: int) -> Joined:
    key = tuple(row.keys[join_key.name] for join_key in view.join_keys)
    used = as_of(past[view.stored_as], key, row.at - ago, rule_of(view))
    status = view_status(used, row.at, rule_of(view))
    nulls = (None,) * len(view.fields)
    return Joined(status, used.values if used and status == "PRESENT" else nulls, used)


def row(event_at: int, created: int, mean: float) -> Row:
    return Row(("JFK",), event_at, created, False, (np.float32(mean),), DELAYS.fields)


def test_many_rows_with_equal_times_are_settled_by_their_bytes(tmp_path: Path):
    rng = np.random.default_rng(3)
    rows = [
        Row((f"{n % 500}",), NOON, NOON, False, (np.float32(v),), DELAYS.fields)
        for n, v in enumerate(rng.random(2_000))
    ]
    write(tmp_path, DELAYS, rows, files=3)
    spine = [Spine({"origin": f"{number}"}, NOON) for number in range(502)]
    found = join(PLAN, sources(tmp_path, PLAN), spine_table(PLAN, spine))["delays"]
    joined = oracles.join(spine, {"delays": rows}, PLAN)
    assert told(found, DELAYS.fields) == expected(joined, DELAYS, DELAYS.fields)


def test_a_table_that_is_not_there_is_named(tmp_path: Path):
    spine = spine_table(PLAN, [Spine({"origin": "JFK"}, NOON)])
    with pytest.raises(SourceMissing, match="delays"):
        join(PLAN, sources(tmp_path, PLAN), spine)


def test_a_feature_that_came_after_the_spine_is_null(tmp_path: Path):
    day = 86_400_000_000
    write(tmp_path, DELAYS, [Row(("JFK",), NOON, NOON, False, (None,), DELAYS.fields)])
    write(tmp_path, DELAYS, [row(NOON + day, NOON + day, 1.5)])
    forget_empty_columns(tmp_path, DELAYS)
    found = join(PLAN, sources(tmp_path, PLAN), spine_table(PLAN, [Spine({"origin": "JFK"}, NOON)]))["delays"]
    assert found.status.tolist() == [FeatureStatus.PRESENT]
    assert found.values(0).valid.tolist() == [False]


def test_the_join_says_where_it_is(tmp_path: Path):
    write(tmp_path, DELAYS, [row(NOON, NOON, 1.0), row(NOON - 1, NOON, 2.0)], files=2)
    seen = []
    spine = spine_table(PLAN, [Spine({"origin": "JFK"}, NOON)])
    join(PLAN, sources(tmp_path, PLAN), spine, report=lambda *told: seen.append(told))
    assert seen[0] == ("delays", 0, 4), "each of two files for its keys, then for its features"
    assert seen[-1] == ("delays", 4, 4)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


@pytest.mark.parametrize(
    ("kind", "unit"),
    [("us", 1), ("ns", 1_000), ("ms", 0.001), ("s", 0.000_001)],
)
@pytest.mark.parametrize("zone", ["UTC", None, "America/New_York"])
def test_times_of_any_precision_and_zone(tmp_path: Path, kind: str, unit: float, zone: str | None):
    write(tmp_path, DELAYS, [row(NOON, NOON, 1.5)])
    times = pa.array([int(NOON * unit)]).cast(pa.timestamp(kind, tz=zone))
    spine = pa.table({TIMESTAMP: times, "origin": ["JFK"]})
    found = join(PLAN, {"delays": source(tmp_path, DELAYS)}, spine)["delays"]
    assert found.status.tolist() == [FeatureStatus.PRESENT]
    assert found.values(0).data.tolist() == [1.5]


def test_nanoseconds_are_cut_towards_the_past():
    times = pa.array([-1, 0, 999, 1_000]).cast(pa.timestamp("ns", tz="UTC"))
    assert spine_times(pa.table({TIMESTAMP: times})).tolist() == [-1, 0, 0, 1]


def test_times_beyond_any_calendar(tmp_path: Path):
    write(tmp_path, DELAYS, [row(NOON, NOON, 1.5)])
    spine = pa.table({TIMESTAMP: instants([2**62, -(2**62)]), "origin": ["JFK", "JFK"]})
    found = join(PLAN, {"delays": source(tmp_path, DELAYS)}, spine)["delays"]
    assert found.status.tolist() == [FeatureStatus.STALE, FeatureStatus.NOT_FOUND]


TIMES = instants([NOON])


@pytest.mark.parametrize(
    ("spine", "column", "told"),
    [
        ({"origin": ["JFK"]}, "event_timestamp", "is absent"),
        ({TIMESTAMP: [date(2013, 10, 1)], "origin": ["JFK"]}, "event_timestamp", "is date32"),
        ({TIMESTAMP: ["2013-10-01"], "origin": ["JFK"]}, "event_timestamp", "is string"),
        ({TIMESTAMP: [NOON], "origin": ["JFK"]}, "event_timestamp", "is int64"),
        (
            {TIMESTAMP: pa.array([None], pa.timestamp("us")), "origin": ["JFK"]},
            "event_timestamp",
            r"is null, and each row needs a time, first in row 0 \(counted",
        ),
        ({TIMESTAMP: pa.array([2**60]).cast(pa.timestamp("s")), "origin": ["JFK"]}, "event_timestamp", "beyond"),
        ({TIMESTAMP: TIMES}, "origin", r"is absent; the spine has \['event_timestamp'\]"),
        ({TIMESTAMP: TIMES, "origin": [4]}, "origin", "is int64 and is declared as string"),
        ({TIMESTAMP: TIMES, "origin": [4.0]}, "origin", "is double and is declared as string"),
        ({TIMESTAMP: TIMES, "origin": [b"JFK"]}, "origin", "is binary and is declared as string"),
    ],
)
def test_a_spine_that_cannot_be_joined_is_told_why(tmp_path: Path, spine, column: str, told: str):
    write(tmp_path, DELAYS, [])
    with pytest.raises(SpineMismatch, match=told) as refused:
        join(PLAN, {"delays": source(tmp_path, DELAYS)}, pa.table(spine))
    assert refused.value.column == column


def test_keys_may_be_dictionaries_large_or_all_null(tmp_path: Path):
    write(tmp_path, DELAYS, [row(NOON, NOON, 1.5)])
    for keys in (
        pa.array(["JFK", "LGA"]).dictionary_encode(),
        pa.array(["JFK", "LGA"], pa.large_string()),
        pa.chunked_array([["JFK"], [], ["LGA"]], pa.string()),
    ):
        spine = pa.table({TIMESTAMP: instants([NOON, NOON]), "origin": keys})
        found = join(PLAN, {"delays": source(tmp_path, DELAYS)}, spine)["delays"]
        assert found.status.tolist() == [FeatureStatus.PRESENT, FeatureStatus.NOT_FOUND]
    spine = pa.table({TIMESTAMP: instants([NOON]), "origin": pa.nulls(1)})
    assert join(PLAN, {"delays": source(tmp_path, DELAYS)}, spine)["delays"].status.tolist() == [
        FeatureStatus.NOT_FOUND
    ]


def test_request_inputs_of_a_spine():
    spine = pa.table({"hour": pa.array([7, None], pa.int32())})
    (values,) = request_values(PLAN, spine).values()
    assert (values.data.dtype, values.data.tolist(), values.valid.tolist()) == (np.int64, [7, 0], [True, False])
    (values,) = request_values(PLAN, pa.table({"hour": [7.0, None, float("nan")]})).values()
    assert (values.data.tolist(), values.valid.tolist()) == ([7, 0, 0], [True, False, False])
    with pytest.raises(SpineMismatch, match=r"'hour' is double and is declared as int64, which does not hold 7\.5"):
        request_values(PLAN, pa.table({"hour": [7.0, 7.5]}))
    with pytest.raises(SpineMismatch, match="'hour' is absent"):
        request_values(PLAN, pa.table({"minute": [7]}))
