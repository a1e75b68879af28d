"""Gates count what a plain loop over the rows counts, and nothing is refused by chance."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.contract.plan import Field, JoinKey, PlanView
from skewless.contract.timestamps import to_micros
from skewless.definitions.expectations import ColumnExpectation, ValueBounds, ViewExpectations
from skewless.monitoring.quality.quality import ExpectationBreach, TimeSpan, check, rows_in, rows_of
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows
from skewless.runtime.errors import SourceMismatch

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
VIEW = PlanView(
    "wind", "wind", (JoinKey("code", "code", "String"), JoinKey("run", "run", "Int64")),
    (Field("speed", "Float32"), Field("gusts", "Int64"), Field("words", "Array(String)")), 0, "created_timestamp", "gone",
)  # fmt: skip
SPAN = TimeSpan(NOON - 24 * HOUR, NOON)
ROW = st.tuples(
    st.sampled_from(["JFK", "EWR", "it's", None]),
    st.integers(0, 1),
    st.sampled_from([None, math.nan, math.inf, -1.0, 0.0, 0.5, 1.0, 2.0]),
    st.sampled_from([None, 0, 2**60, 2**60 + 1]),
    st.integers(0, 2),
    st.booleans(),
)


def history(rows) -> ViewRows:
    codes, runs, speeds, gusts, hours, gone = zip(*rows, strict=True) if rows else ([],) * 6
    event = np.array([to_micros(NOON - hour * HOUR) for hour in hours], np.int64)
    columns = (
        pa.array(speeds, pa.float32()), pa.array(gusts, pa.int64()), pa.array([["a"]] * len(rows), pa.list_(pa.string()))
    )  # fmt: skip
    keys = (pa.array(codes, pa.string()), pa.array(runs, pa.int64()))
    return ViewRows(keys, event, event, np.array(gone, bool), columns)


def checked(rows, *, span: TimeSpan = SPAN, parts: int = 1, **expected) -> dict[str, ExpectationBreach]:
    whole = rows_of(VIEW, history(rows))
    size = max(math.ceil(len(whole) / parts), 1)
    dealt = [whole.slice(start, size) for start in range(0, max(len(whole), 1), size)]
    return {one.gate: one for one in check(ViewExpectations("wind", **expected), VIEW, dealt, span)}


@settings(max_examples=40)
@given(st.lists(ROW, max_size=30), st.integers(1, 4))
def test_the_counts_are_those_of_a_loop(rows, parts):
    found = checked(
        rows,
        parts=parts,
        columns=(
            ColumnExpectation("speed", ValueBounds(0.0, 1.0), null_share=0.0),
            ColumnExpectation("code", values=("JFK", "it's")),
        ),
        unique=True,
    )
    alive = [row for row in rows if not row[5]]
    nulls = sum(row[2] is None or math.isnan(row[2]) for row in alive)
    outside = sum(row[2] is not None and not math.isnan(row[2]) and not 0 <= row[2] <= 1 for row in alive)
    strange = sum(row[0] is not None and row[0] not in ("JFK", "it's") for row in alive)
    again = sum(times - 1 for times in Counter((row[0], row[1], row[4]) for row in rows).values())
    expected = {"null share": nulls, "range": outside, "values": strange, "uniqueness": again}
    assert {gate: one.count for gate, one in found.items()} == {gate: n for gate, n in expected.items() if n}


def test_large_whole_numbers_are_not_rounded():
    rows = [("JFK", 0, 0.0, 2**60 + 1, 0, False), ("EWR", 0, 0.0, 2**60, 0, False)]
    found = checked(rows, columns=(ColumnExpectation("gusts", ValueBounds(None, float(2**60))),))
    assert found["range"].examples == (str(2**60 + 1),)


def test_a_bound_is_the_nearest_value_of_the_columns_type():
    rows = [("JFK", 0, speed, 0, 0, False) for speed in (0.1, 0.2)]
    assert "range" not in checked(rows, columns=(ColumnExpectation("speed", ValueBounds(0.1, 0.2)),))
    assert checked(rows, columns=(ColumnExpectation("speed", ValueBounds(0.1, 0.19)),))["range"].count == 1


def test_a_breach_tells_the_gate_the_column_the_count_and_examples():
    rows = [("JFK", 0, speed, 0, 0, False) for speed in (0.5, 7.0, 9.0)]
    assert str(checked(rows, columns=(ColumnExpectation("speed", ValueBounds(0.0, 1.0)),))["range"]) == (
        "range of speed: 2 of 3 values are outside (such as 9.0, 7.0); expected 0..1"
    )
    assert str(checked(rows, unique=True)["uniqueness"]) == (
        "uniqueness of code, run: 2 of 3 rows have the key and times of another (such as JFK, 0 at 2013-10-01 12:00:00 "
        "UTC); expected one row for each key, event and created time"
    )


@pytest.mark.parametrize(("wrong", "of", "refused"), [(1, 3, False), (3, 3, True), (2, 72, False), (9, 72, True)])
def test_a_share_is_not_refused_by_chance(wrong: int, of: int, refused: bool):
    rows = [("JFK", place, 9.0 if place < wrong else 0.5, 0, 0, False) for place in range(of)]
    assert bool(checked(rows, columns=(ColumnExpectation("speed", ValueBounds(0.0, 1.0, share=0.98)),))) is refused
    nulls = [("JFK", place, None if place < wrong else 0.5, 0, 0, False) for place in range(of)]
    assert bool(checked(nulls, columns=(ColumnExpectation("speed", null_share=0.02),))) is refused


def test_volume_and_freshness_look_at_the_span():
    rows = [("JFK", place, 0.5, 0, 2, False) for place in range(50)]
    few = checked(rows, rows_per_day=ValueBounds(100.0, None))["rows per day"]
    assert (few.missing, few.observed) == (True, "50 rows in 1.0 days")
    many = checked(rows, rows_per_day=ValueBounds(None, 10.0))["rows per day"]
    assert not many.missing
    assert not checked(rows, span=TimeSpan(NOON - HOUR, NOON), rows_per_day=ValueBounds(100.0, None)), (
        "an hour may be quiet"
    )
    stale = checked(rows, fresh_within=HOUR)["freshness"]
    assert (stale.missing, stale.observed) == (True, "the newest event is of 2013-10-01 10:00 UTC")
    assert not checked(rows, fresh_within=3 * HOUR)
    assert not checked([], span=TimeSpan(NOON - HOUR, NOON), fresh_within=3 * HOUR), "an hour may be quiet"
    assert checked([], fresh_within=3 * HOUR)["freshness"].observed == "there is no row"
    assert not checked([], span=TimeSpan(None, NOON), fresh_within=HOUR, rows_per_day=ValueBounds(1.0, None))


def test_nothing_is_read_where_nothing_is_expected():
    def unread():
        raise AssertionError
        yield

    assert check(ViewExpectations("wind"), VIEW, unread(), SPAN) == []


def test_new_rows_of_a_table_are_taken_under_the_views_names():
    times = pa.array([to_micros(NOON)]).cast(pa.timestamp("us", "UTC"))
    table = pa.table(
        {"airport": ["JFK"], "run": [1], "speed": [1.5], "gusts": [1], "words": [["a"]], "gone": [None], "at": times}
    )
    table = table.set_column(2, "speed", pa.array([1.5], pa.float32())).set_column(
        5, "gone", pa.array([None], pa.bool_())
    )
    source = TableSource("wind", None, "at", None, (("code", "airport"),))
    taken = rows_in(VIEW, source, table)
    assert taken.column_names[:3] == ["code", "run", "speed"]
    assert taken.select(["code", "__created", "__deleted"]).to_pylist() == [
        {"code": "JFK", "__created": to_micros(NOON), "__deleted": False}
    ]
    with pytest.raises(SourceMismatch, match="'gusts' of its source is absent"):
        rows_in(VIEW, source, table.drop_columns(["gusts"]))
