"""Pages: whole, self-contained, and nothing that was served can break out of its text."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from skewless.html.render import label, short
from skewless.html.table import PageTable, percent
from skewless.monitoring.audit.attribution import CausedDifferences
from skewless.monitoring.drift.drift import run
from skewless.monitoring.drift.thresholds import DriftThresholds, ThresholdOverride
from skewless.monitoring.reports.result_pages import audit_page, drift_page
from tests.bench import drift as bench
from tests.monitoring.reports.audit_results import CLEAN, NOON, SKEWED
from tests.monitoring.reports.html_page import Page


@pytest.fixture(scope="module")
def drifted():
    rows = bench.population(np.random.default_rng(5), 1_000)
    rows.inputs["age"] += 10
    rows.place[:300] = "<b>"
    limits = DriftThresholds(features={"hour": ThresholdOverride(ignore=True, because="follows <the> sun")})
    return run(bench.WINDOW, bench.PLAN, bench.baseline(5_000), rows.served(), limits)


def test_a_drift_page_names_what_drifted_first(drifted):
    page = Page(drift_page(drifted, NOON))
    assert page.loads == []
    assert "2 drifted age, place" in page.text
    assert page.text.index("drifted") < page.text.index("mean_0")
    assert "follows <the> sun" in page.text
    assert "Made by skewless" in page.text
    assert "2013-10-01 12:00 UTC" in page.text


def test_a_page_of_no_rows_is_a_page(drifted):
    empty = run(
        bench.WINDOW,
        bench.PLAN,
        bench.baseline(5_000),
        bench.population(np.random.default_rng(5), 0).served(),
        DriftThresholds(),
    )
    assert "No drift" in Page(drift_page(empty, NOON)).text
    none = msgspec.structs.replace(CLEAN, rows=0, values=0, timeline=type(CLEAN.timeline)())
    assert "Nothing to audit" in Page(audit_page(none, NOON)).text


def test_an_audit_page_tells_what_differs():
    page = Page(audit_page(SKEWED, NOON))
    assert page.loads == []
    assert (
        "Skewed 2 of 9 predictions were not what training sees. 9 predictions replayed 2 of 45 feature values"
        in page.text
    )
    assert "request <script>alert(1)</script>: mean was 5" in page.text
    assert "script" not in page.open
    assert "Not skewed" in Page(audit_page(CLEAN, NOON)).text


def test_causes_come_first_with_what_to_do_and_examples():
    found = (
        CausedDifferences("default used", "planes", 9, 3, 0, 0.25, ("request <b>0</b> row 0",)),
        CausedDifferences("late data", "delays", 2, 2, 1, 0.125, ("request r1 row 0: mean 5.0 instead of 9.0",)),
        CausedDifferences("late data", "planes", 1, 1, 0, 0.5, ()),
    )
    page = Page(audit_page(msgspec.structs.replace(SKEWED, causes=found, unread_views=9, unread_values=3), NOON))
    assert "The most frequent cause is late data: delays, 2 rows." in page.text
    assert page.text.index("Late data 2 rows, 22.2%") < page.text.index("Default used 9 rows, 100%")
    assert page.text.index("Default used") < page.text.index("By time") < page.text.index("Features")
    assert "mean 5.0 instead of 9.0" in page.text
    assert "request <b>0</b> row 0" in page.text
    assert "What to do: set a row's created time to the time at which it arrives" in page.text
    assert "skewless verify --repair" in page.texts, "commands stand alone, as code"


def test_more_tables_stand_before_the_features():
    causes = PageTable("Causes", "Why.", ("cause", "rows"), (("late data", "2"),), (0.2,))
    text = Page(audit_page(SKEWED, NOON, [causes])).text
    assert text.index("late data") < text.index("mean")


def test_numbers_are_told_shortly():
    assert [percent(share) for share in (0.0, 1.0, 0.00001, 0.0123, 0.5)] == ["0%", "100%", "<0.01%", "1.23%", "50.0%"]
    assert [short(number) for number in (0.1234, 1048.36, 12_345_678.0, 1e30)] == [
        "0.123",
        "1,048",
        "12,345,678",
        "1e+30",
    ]
    assert [label(name) for name in ("0.059999999", "N14228", "a name that goes on")] == [
        "0.06",
        "N14228",
        "a name that g…",
    ]
