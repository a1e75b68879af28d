"""The demo's story on three weeks of flights: every check of it holds, and telling it again is harmless."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipelines import demo
from pipelines.flights import task
from pipelines.settings import Settings
from pipelines.train import Split
from pipelines.workspace import Workspace

FEBRUARY = demo.Story(
    first=date(2013, 1, 25),
    last=date(2013, 2, 24),
    split=Split(*(datetime(2013, 2, day, tzinfo=UTC) for day in (1, 15, 19, 23))),
    replayed=60,
)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(Settings(state=tmp_path / "state", feature_repo=Path(__file__).parents[2] / "feature_repo"))


@pytest.mark.timeout(240)
def test_every_check_holds_twice(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(work.settings.state))
    assert demo.run(work, FEBRUARY, stay=False)
    told = capsys.readouterr().out
    assert "0 of" in told
    assert "BROKEN" not in told
    assert "scheduled stamps, served" in told
    assert "curl -s http://127.0.0.1:" in told
    bundles = work.folders.models / task.MODEL
    before = {file: file.stat().st_mtime_ns for file in bundles.rglob("*") if file.parent != bundles}
    assert demo.run(work, FEBRUARY, stay=False)
    assert "0 files changed" in capsys.readouterr().out
    assert before == {file: file.stat().st_mtime_ns for file in bundles.rglob("*") if file.parent != bundles}
