"""The demo's story on three weeks of flights: every check of it holds, and telling it again is harmless.

The models are in an object store, which is the longer way.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from skewless.demo import demo
from skewless.project.project import ProjectContext
from skewless.project.windows import TimeSplit
from skewless.runtime.settings import ProjectSettings
from tests.checkout import FEATURE_REPO
from tests.services.s3 import BUCKET, S3, s3, s3_server

__all__ = ["s3", "s3_server"]

FEBRUARY = demo.DemoStory(
    first=date(2013, 1, 25),
    last=date(2013, 2, 24),
    split=TimeSplit(*(datetime(2013, 2, day, tzinfo=UTC) for day in (1, 15, 19, 23))),
    replayed=60,
)


@pytest.fixture
def work(tmp_path: Path, s3: S3) -> ProjectContext:
    models = f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}"
    repo = FEATURE_REPO
    return ProjectContext(ProjectSettings(state=tmp_path / "state", feature_repo=repo, models=models))


@pytest.mark.timeout(900)
def test_every_check_holds_twice(
    work: ProjectContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKEWLESS_STATE", str(work.settings.state))
    assert demo.run(work, FEBRUARY, stay=False)
    told = capsys.readouterr().out
    assert "0 of" in told
    assert "BROKEN" not in told
    assert "scheduled stamps, served" in told
    assert "curl -s http://127.0.0.1:" in told
    registry, bundles = work.settings.registry, work.folders.models / demo.MODEL
    rollout, there = registry.rollout(demo.MODEL), registry.seen(demo.MODEL, "1.0.0")
    assert (rollout.champion, rollout.change.by) == ("1.0.0", "skewless demo")
    assert not (bundles / "rollout").exists(), "servers are told where they look"
    before = {file: file.stat().st_mtime_ns for file in bundles.rglob("*") if file.parent != bundles}
    assert demo.run(work, FEBRUARY, stay=False)
    assert (registry.rollout(demo.MODEL), registry.seen(demo.MODEL, "1.0.0")) == (rollout, there)
    assert "0 files changed" in capsys.readouterr().out
    assert before == {file: file.stat().st_mtime_ns for file in bundles.rglob("*") if file.parent != bundles}
