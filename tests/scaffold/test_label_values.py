from __future__ import annotations

import duckdb
import pytest

from skewless.scaffold.event_columns import EventColumn, feast_type
from skewless.scaffold.label_values import label_values

KINDS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def mapped(values: list[object], one: str | None = None) -> list[object] | None:
    """The labels of these values, as DuckDB makes them; None where the values say nothing."""
    kind = KINDS[type(values[0])]
    with duckdb.connect() as connection:
        connection.execute(f'CREATE TABLE rows ("the label" {kind})')
        connection.executemany("INSERT INTO rows VALUES (?)", [(value,) for value in values])
        texts = connection.execute('SELECT DISTINCT CAST("the label" AS VARCHAR) FROM rows WHERE "the label" NOT NULL')
        column = EventColumn("the label", kind, feast_type(kind))
        label = label_values(column, sorted(row[0] for row in texts.fetchall()), one)
        if label is None:
            return None
        return [row[0] for row in connection.execute(f"SELECT {label.sql} FROM rows").fetchall()]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["yes", "no", None, "YES"], [1, 0, None, 1]),
        (["Y", "N"], [1, 0]),
        (["true", "false"], [1, 0]),
        (["on", "off "], [1, 0]),
        (["1", "0"], [1, 0]),
        ([1.0, 0.0, None], [1, 0, None]),
        ([1, 0], [1, 0]),
        ([True, False], [True, False]),
        (["won", "lost"], None),
        (["yes", "perhaps"], None),
        ([1, 2], None),
        ([0.5, 1.0], None),
    ],
)
def test_what_says_yes_is_1_and_what_says_no_is_0(values: list[object], labels: list[object] | None):
    assert mapped(values) == labels


@pytest.mark.parametrize(
    ("values", "one", "labels"),
    [
        (["won", "it's lost", None], "won", [1, 0, None]),
        (["won", "it's lost"], "it's lost", [0, 1]),
        ([3, 4, 5], "4", [0, 1, 0]),
        (["won", "lost"], "drawn", None),
    ],
)
def test_a_named_value_is_1(values: list[object], one: str, labels: list[object] | None):
    assert mapped(values, one) == labels


def test_a_value_that_was_not_there_is_an_error_that_names_it():
    label = label_values(EventColumn("x", "VARCHAR", "String"), ["no", "yes"], None)
    assert label is not None
    with pytest.raises(duckdb.ConversionException, match="'perhaps'"):
        duckdb.sql(f"SELECT {label.sql} FROM (VALUES ('yes'), ('perhaps')) rows(x)").fetchall()
