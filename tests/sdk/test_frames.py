"""Whatever frame is given, the rows are the same."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skewless.sdk.arguments import BadArgument
from skewless.sdk.frames import arrow_table, is_dicts, json_rows

ROWS = [{"customer": 1, "total": 2.5}, {"customer": 2, "total": None}]
TABLE = pa.table({"customer": [1, 2], "total": [2.5, None]})


@pytest.mark.parametrize(
    "frame",
    [
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_reader(),
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS).set_index(pd.Index(["a", "b"])),
        pl.DataFrame(ROWS),
        pl.LazyFrame(ROWS),
        duckdb.from_arrow(TABLE),
        ROWS,
        iter(ROWS),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_every_frame_is_the_same_table(frame: object):
    assert arrow_table(frame, "spine=").to_pylist() == ROWS


def test_the_dict_of_a_row_is_a_row():
    assert arrow_table(ROWS[0], "rows=").to_pylist() == ROWS[:1]
    assert json_rows(ROWS[0], "rows=") == ROWS[:1]
    assert (is_dicts(ROWS), is_dicts(ROWS[0]), is_dicts(pd.DataFrame(ROWS)), is_dicts("text")) == (
        True,
        True,
        False,
        False,
    )


@pytest.mark.parametrize("rows", [42, None, [1, 2], object(), "text"])
def test_what_is_no_frame_is_refused_by_name(rows: object):
    with pytest.raises(BadArgument, match=r"rows= is .*; give a pandas or Polars frame"):
        arrow_table(rows, "rows=")


def test_rows_that_do_not_fit_together_are_refused():
    with pytest.raises(BadArgument, match="has rows that are no table"):
        arrow_table([{"a": 1}, {"a": "x"}], "rows=")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(7), 7),
        (np.float32(0.1), 0.10000000149011612),
        (float("nan"), None),
        (Decimal("1.5"), 1.5),
        (b"ab", "YWI="),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00+00:00"),
        (datetime(2026, 3, 1), "2026-03-01T00:00:00+00:00"),
        (pd.Timestamp("2026-03-01"), "2026-03-01T00:00:00+00:00"),
    ],
)
def test_values_are_as_a_server_takes_them(value: object, expected: object):
    assert json_rows([{"value": value}], "rows=") == [{"value": expected}]


def test_a_value_that_json_lacks_is_refused():
    with pytest.raises(BadArgument, match="has a value that JSON does not have"):
        json_rows({"value": object()}, "rows=")
