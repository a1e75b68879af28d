"""Rows in every kind of frame that a function may return."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from skewless.offline.tables.row_batches import UnknownRows, batches

ROWS = [{"customer": 1, "total": 0.5}, {"customer": 2, "total": None}]
TABLE = pa.Table.from_pylist(ROWS)
FRAMES = {
    "an Arrow table": lambda: TABLE,
    "a reader": TABLE.to_reader,
    "a record batch": lambda: TABLE.to_batches()[0],
    "record batches": lambda: TABLE.to_batches(max_chunksize=1),
    "pandas": TABLE.to_pandas,
    "Polars": lambda: pl.from_arrow(TABLE),
    "a lazy frame": lambda: pl.from_arrow(TABLE).lazy(),
    "DuckDB": lambda: duckdb.sql("SELECT * FROM (VALUES (1, 0.5::DOUBLE), (2, NULL)) AS t(customer, total)"),
    "dicts": lambda: ROWS,
    "a generator of dicts": lambda: (row for row in ROWS),
    "a generator of frames": lambda: (TABLE.slice(place, 1).to_pandas() for place in range(2)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_each_kind_of_frame_gives_its_rows(kind: str):
    found = [row for batch in batches("orders", FRAMES[kind]()) for row in batch.to_pylist()]
    assert [row["customer"] for row in found] == [1, 2]
    assert [None if row["total"] is None or row["total"] != row["total"] else row["total"] for row in found] == [
        0.5,
        None,
    ]


def test_dicts_have_every_column_that_any_of_them_has():
    (batch,) = batches("orders", [{"a": 1}, {"b": "x"}])
    assert batch.to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]
    assert list(batches("orders", [])) == []


@pytest.mark.parametrize("rows", [7, "orders.csv", {"a": [1]}, [1, 2], [{"a": 1}, 2], None])
def test_what_is_no_rows_is_named(rows: object):
    with pytest.raises(UnknownRows, match="the rows of table 'orders' come as "):
        list(batches("orders", rows))
