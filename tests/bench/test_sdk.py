"""The SDK benchmark's pieces work, and the results page shows what was kept. The benchmark itself is `make bench-sdk`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.bench.sdk import stores as s
from tests.bench.sdk.__main__ import PAGE, RESULTS, markdown, paste, run


@pytest.mark.filterwarnings("ignore")
def test_both_stores_answer_alike_and_every_call_is_timed(tmp_path):
    now = datetime.now(UTC)
    with s.stores(tmp_path, now) as stores:
        medians = run(stores, now, rounds=1)
    assert list(medians) == ["1", "10", "100", "1000", "push"]
    assert all(times[name] > 0 for times in medians.values() for name in (s.OURS, s.FEAST))


def test_the_page_shows_the_kept_results():
    results = json.loads(RESULTS.read_text())
    assert markdown(results) in PAGE.read_text()
    assert paste(PAGE.read_text(), results) == PAGE.read_text()


def test_what_is_not_reached_is_said():
    by = {kind: {s.OURS: 1.0, s.FEAST: 1.6} for kind in ("1", "10", "100", "1000", "push")}
    page = markdown({"date": "2026-11-30", "python": "3", "feast": "0", "milliseconds": by})
    assert "Not reached: 100, 1000, push." in page
    assert "| Feast ÷ Skewless | 1.6 | 1.6 | 1.6 | 1.6 | 1.6 |" in page
