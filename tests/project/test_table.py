"""Declarations of tables: what may be said, and what is refused where it is said."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from functools import partial

import pytest

from skewless.project import SqlQuery, Table
from skewless.project.table import BadTable


def days(start, end): ...


def since(position): ...


def whole(): ...


def defaults(start, end, shop="first"): ...


def three(start, end, shop): ...


@pytest.mark.parametrize(
    ("rows", "new_by", "extent"),
    [
        (None, None, "files"),
        (days, None, "range"),
        (defaults, None, "range"),
        (partial(three, shop="first"), None, "range"),
        (whole, None, "all"),
        (since, "id", "since"),
        (SqlQuery("SELECT 1"), None, "all"),
        (SqlQuery("SELECT 1 WHERE t >= $start AND t < $end"), None, "range"),
        (SqlQuery("SELECT 1 WHERE t >= $since"), "t", "since"),
    ],
)
def test_what_is_read_at_a_time(rows: object, new_by: str | None, extent: str):
    assert Table("orders", keys="customer", rows=rows, new_by=new_by).extent == extent


def test_as_a_decorator_it_takes_the_function():
    @Table("orders", keys=["customer", "shop"], start="2024-01-01")
    def orders(start, end):
        return start, end

    assert (orders.name, orders.key_columns, orders.extent) == ("orders", ("customer", "shop"), "range")
    assert (orders.first_day, orders.after_last_day) == (date(2024, 1, 1), None)
    assert orders.rows(1, 2) == (1, 2), "its function can be called in a test"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "a/b"}, "its name is not that of a folder"),
        ({"name": ".a"}, "its name is not that of a folder"),
        ({"rows": 7}, "its rows are int, neither a function nor a SqlQuery"),
        ({"timezone": "Europe/Bonn"}, "there is no time zone 'Europe/Bonn'"),
        ({"start": "January"}, "start='January' is not a day, as 2024-01-31"),
        ({"start": "2024-01-02", "end": "2024-01-02"}, "its end, 2024-01-02, is not after its start, 2024-01-02"),
        ({"stamped": True, "created_timestamp": "at"}, "`stamped` rows get their created_timestamp here"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(options: dict, reason: str):
    with pytest.raises(BadTable) as refused:
        Table(**{"name": "orders", "keys": "customer"} | options)
    assert str(refused.value).startswith(f"table {options.get('name', 'orders')!r} cannot be used: {reason}")


@pytest.mark.parametrize(
    ("rows", "new_by", "reason"),
    [
        (
            three,
            None,
            r"its function needs \(start, end, shop\) and is called with \(start, end\), \(since\) or nothing",
        ),
        (since, None, r"a function of \(since\), which needs `new_by`"),
        (days, "id", r"with `new_by` its rows are a function of \(since\), or a query with \$since"),
        (SqlQuery("SELECT 1"), "id", "with `new_by` its rows are"),
    ],
)
def test_rows_that_cannot_be_called_are_refused(rows: object, new_by: str | None, reason: str):
    with pytest.raises(BadTable, match=reason):
        _ = Table("orders", keys="customer", rows=rows, new_by=new_by).extent


def test_declarations_cost_no_import_of_feast_or_arrow():
    program = "import sys; from skewless.project import SqlQuery, Table; print([m for m in ('feast', 'pyarrow', 'pandas', 'duckdb') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_what_is_not_exported_is_absent():
    import skewless.project

    with pytest.raises(AttributeError, match="has no attribute 'Tabel'"):
        _ = skewless.project.Tabel
