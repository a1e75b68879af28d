"""Rows that come in again: equal ones change nothing, others are corrections, and what was known stays known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.contract.timestamps import from_micros, to_micros
from skewless.offline.tables.row_versions import MergedRows, StampedRows, StoredTypesDiffer, row_codes

DAY = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema({"key": pa.int64(), "event_timestamp": TIME, "x": pa.float64()})
Rows = list[tuple[int | None, int, float | None]]
ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2]), st.integers(0, 2), st.sampled_from([None, 0.0, -0.0, 1.5, float("nan"), 2.0])
    ),
    max_size=5,
)


def table(rows: Rows) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    times = [DAY + timedelta(hours=hour) for hour in columns[1]]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip((columns[0], times, columns[2]), SCHEMA, strict=True)], schema=SCHEMA
    )


def as_text(row: dict[str, object]) -> tuple[object, ...]:
    """Comparable: NaN equals NaN, and -0.0 is not 0.0."""
    return (row["key"], row["event_timestamp"], repr(row["x"]))


def stamped_slowly(stored: list[dict], rows: list[dict], now: datetime) -> list[dict]:
    """Row by row, by the words of `Table.stamped`."""
    result = list(stored)
    for row in {as_text(row): row for row in rows}.values():
        group = [old for old in stored if as_text(old)[:2] == as_text(row)[:2]]
        newest = max((old["created_timestamp"] for old in group), default=None)
        several = len({as_text(other) for other in rows if as_text(other)[:2] == as_text(row)[:2]}) > 1
        known = [old for old in group if several or old["created_timestamp"] == newest]
        if not any(as_text(old) == as_text(row) for old in known):
            created = now if newest is None else max(now, from_micros(to_micros(newest) + 1))
            result.append(row | {"created_timestamp": created})
    return result


def in_order(rows: list[dict]) -> list[tuple[object, ...]]:
    return sorted(((*as_text(row), row.get("created_timestamp")) for row in rows), key=repr)


@given(st.lists(ROWS, max_size=5))
def test_stamped_rows_are_those_of_the_slow_definition(runs: list[Rows]):
    stored: pa.Table | None = None
    slowly: list[dict] = []
    for number, rows in enumerate(runs):
        now = DAY + timedelta(days=number % 3)  # the clock goes back, too
        combine = StampedRows(("key",), now)
        stored = combine("t", stored, table(rows))
        slowly = stamped_slowly(slowly, table(rows).to_pylist(), now)
        assert in_order(stored.to_pylist()) == in_order(slowly)
        later = StampedRows(("key",), now + timedelta(days=9))
        assert in_order(later("t", stored, table(rows)).to_pylist()) == in_order(slowly), (
            "the same rows again add nothing"
        )


@given(st.lists(ROWS, max_size=4))
def test_merged_rows_are_the_last_that_came_for_each_key_and_time(runs: list[Rows]):
    stored: pa.Table | None = None
    slowly: list[dict] = []
    for rows in runs:
        stored = MergedRows(("key",))("t", stored, table(rows))
        come = {as_text(row): row for row in table(rows).to_pylist()}
        groups = {text[:2] for text in come}
        slowly = [old for old in slowly if as_text(old)[:2] not in groups] + list(come.values())
        assert in_order(stored.to_pylist()) == in_order(slowly)
        assert in_order(MergedRows(("key",))("t", stored, table(rows)).to_pylist()) == in_order(slowly)


def test_a_correction_with_a_created_time_of_its_own_leaves_the_old_row():
    def row(x: float, created: int) -> pa.Table:
        return table([(1, 0, x)]).append_column("created_timestamp", pa.array([DAY + timedelta(hours=created)], TIME))

    both = MergedRows(("key",))("t", row(1.0, 1), row(2.0, 2))
    assert both["x"].to_pylist() == [1.0, 2.0]
    assert MergedRows(("key",))("t", both, row(2.0, 2)).num_rows == 2


def test_a_correction_that_is_taken_back_is_a_correction():
    rows: pa.Table | None = None
    for day, x in enumerate((1.0, 2.0, 1.0)):
        rows = StampedRows(("key",), DAY + timedelta(days=day))("t", rows, table([(1, 0, x)]))
    assert rows is not None
    assert rows["x"].to_pylist() == [1.0, 2.0, 1.0]
    assert [at.day for at in rows["created_timestamp"].to_pylist()] == [1, 2, 3]


def test_rows_from_before_the_table_was_stamped_are_known_since_their_event():
    rows = StampedRows(("key",), DAY + timedelta(days=7))("t", table([(1, 0, 1.0)]), table([(1, 0, 1.0), (1, 1, 1.0)]))
    assert [at.day for at in rows["created_timestamp"].to_pylist()] == [1, 8]


def test_a_new_column_is_null_in_stored_rows_and_other_types_are_refused():
    wider = table([(2, 0, 1.0)]).append_column("y", pa.array(["a"]))
    assert MergedRows(("key",))("t", table([(1, 0, 1.0)]), wider)["y"].to_pylist() == [None, "a"]
    texts = table([(2, 0, 1.0)]).set_column(0, "key", pa.array(["a"]))
    with pytest.raises(StoredTypesDiffer, match="rows of table 't' have other types than its stored rows"):
        MergedRows(("key",))("t", texts, table([(2, 0, 1.0)]))


def test_rows_are_told_apart_bit_for_bit_in_every_type():
    nan, other = (
        pa.array([bits], pa.int64()).view(pa.float64())[0].as_py() for bits in (0x7FF8 << 48, (0x7FF8 << 48) | 1)
    )
    columns = {
        "float": [0.0, -0.0, nan, other, None],
        "list": [[1], [1, 2], [], None, [None]],
        "text": ["a", "", None, "ü", "b"],
        "struct": [{"a": 1}, {"a": None}, None, {"a": 2}, {"a": 3}],
    }
    for name, values in columns.items():
        rows = pa.table({name: values + values})
        codes = row_codes(rows, [name]).tolist()
        assert codes[:5] == codes[5:]
        assert len(set(codes)) == 5, name
