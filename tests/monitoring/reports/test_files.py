"""A run's three files, where they are asked for."""

from __future__ import annotations

from pathlib import Path

import msgspec

from skewless.monitoring.audit.timeline import DifferenceTimeline
from skewless.monitoring.reports.files import write


def test_beside_each_other_unless_another_place_is_asked_for(tmp_path: Path):
    stem = tmp_path / "reports" / "audit-tiny-1.0.0"
    page = write(stem, DifferenceTimeline(step="day"), "page", b"metrics", html=None, json=None, prom=None)
    assert page == tmp_path / "reports" / "audit-tiny-1.0.0.html"
    assert sorted(path.suffix for path in page.parent.iterdir()) == [".html", ".json", ".prom"]
    places = {kind: tmp_path / "elsewhere" / f"x.{kind}" for kind in ("html", "json", "prom")}
    assert write(stem, DifferenceTimeline(step="hour"), "other", b"m", **places) == places["html"]
    assert msgspec.json.decode(places["json"].read_bytes(), type=DifferenceTimeline).step == "hour"
    assert (page.read_text(), places["prom"].read_bytes()) == ("page", b"m")
