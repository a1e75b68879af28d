"""Results are text in a log, and tables or pages in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape

import pandas as pd
import polars as pl
import pyarrow as pa

from skewless.html.fragment import fragment, framed
from skewless.html.table import PageTable
from skewless.runtime.result_counts import ResultCounts
from skewless.sdk.online import RemovedRows
from skewless.sdk.results import RowsResult, ShownResult
from skewless.sdk.rollouts import DeletedVersions


@dataclass(frozen=True)
class SomeCounts(ResultCounts):
    rows: int
    dead_lettered: int
    refusal: str | None = None


@dataclass(frozen=True, repr=False)
class ShownWord(ShownResult):
    word: str

    def lines(self) -> list[str]:
        return [self.word, "and more"]

    def tables(self) -> list[PageTable]:
        return [PageTable("<b>", "", ("name", "rows"), (("<i>", "1"),))]


@dataclass(frozen=True, repr=False)
class SomeRows(RowsResult):
    table: pa.Table

    def lines(self) -> list[str]:
        return [f"{len(self.table)} rows"]

    def to_arrow(self) -> pa.Table:
        return self.table


def test_a_result_prints_as_its_lines():
    assert str(ShownWord("done")) == repr(ShownWord("done")) == "done\nand more"


def test_a_notebook_shows_lines_and_tables_and_nothing_that_was_text_becomes_markup():
    shown = ShownWord("<script>")._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<caption>&lt;b&gt;</caption>" in shown
    assert '<td style="text-align:left">&lt;i&gt;</td><td style="text-align:right">1</td>' in shown


def test_a_page_is_shown_in_a_frame_of_its_own():
    page = '<html><body class="x">1 < 2</body></html>'
    frame = framed(page)
    assert frame.startswith('<iframe sandbox="" ')
    assert unescape(frame.partition('srcdoc="')[2].rpartition('"></iframe>')[0]) == page
    assert fragment([]) == ""


def test_rows_come_as_every_frame():
    rows = SomeRows(pa.table({"a": list(range(12)), "b": [None, *"abcdefghijk"]}))
    assert isinstance(rows.to_pandas(), pd.DataFrame)
    assert isinstance(rows.to_polars(), pl.DataFrame)
    assert pl.DataFrame(rows).equals(rows.to_polars())
    assert pa.table(rows).equals(rows.to_arrow())
    shown = rows._repr_html_()
    assert "the first 10 of 12 rows" in shown
    assert shown.count("<tr>") == 11
    assert str(rows) == "12 rows"


def test_what_was_removed_is_shown_as_other_results_are():
    removed = RemovedRows({"orders": 1_200, "visits": 0}, "expiry is off")
    assert removed.total == 1_200
    assert str(removed) == "1,200 rows of orders removed\n0 rows of visits removed\nwarning: expiry is off"
    shown = removed._repr_html_()
    assert ">1,200</td>" in shown
    assert "warning: expiry is off" in shown
    assert "nothing was left" in RemovedRows({})._repr_html_()
    deleted = DeletedVersions("churn", ("1.0.0", "2.0.0"))
    assert str(deleted) == "churn: 1.0.0, 2.0.0 deleted"
    assert str(deleted) in deleted._repr_html_()


def test_counts_are_a_table_in_a_notebook():
    shown = SomeCounts(1_200, 0)._repr_html_()
    assert ">rows</th>" in shown
    assert ">dead lettered</th>" in shown
    assert ">1,200</td>" in shown
    assert "refusal" not in shown
    assert "&lt;b&gt;</td>" in SomeCounts(1, 0, "<b>")._repr_html_()
