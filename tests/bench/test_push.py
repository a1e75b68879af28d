"""The push benchmark's pieces work, and the results page shows what was kept. The benchmark itself is `make bench-push`."""

from __future__ import annotations

import json

from skewless.contract.storage.push_batch import PushRowsReader
from tests.bench.push import servers as s
from tests.bench.push.__main__ import PAGE, RESULTS, markdown, paste

NOW = 1_795_000_000_000_000


def test_every_row_that_is_sent_can_be_pushed(tmp_path):
    s.write_bodies(tmp_path, NOW)
    reader = PushRowsReader(s.PROJECT, s.TARGET)
    ours, theirs = ((tmp_path / f"{name}-1.txt").read_text().splitlines() for name in (s.OURS, s.FEAST))
    assert len(ours) == len(theirs) == s.BODIES
    for mine, other in list(zip(ours, theirs, strict=True))[::997]:
        rows, frame = json.loads(mine)["rows"], json.loads(other)["df"]
        assert len(reader.read(rows).keys) == 1
        created = frame.pop("created_timestamp")
        assert created
        assert {name: [value] for name, value in rows[0].items()} == frame


def test_the_readme_shows_the_kept_results():
    results = json.loads(RESULTS.read_text())
    assert markdown(results) in PAGE.read_text()
    assert paste(PAGE.read_text(), results) == PAGE.read_text()


def test_a_bar_is_judged_at_each_number_of_writers():
    by = {s.OURS: {"1": 10.0, "32": 900.0, "64": 2000.0}, s.FEAST: dict.fromkeys(("1", "32", "64"), 50.0)}
    by[s.FEAST_BOTH] = {"1": 5.0, "32": 0.0, "64": 0.0}
    told = markdown(
        {
            "date": "2026-11-22",
            "python": "3",
            "feast": "0",
            "events_per_second": by,
            "rows": 1,
            "parts": 1,
            "entities": 1,
        }
    )
    assert "1: 0.2, not reached; 32: 18.0, not reached; 64: 40.0, reached" in told
    assert "| 2.0 | none succeeded | none succeeded |" in told
