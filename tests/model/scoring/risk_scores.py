"""A batch of scores, written in a process that may be killed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from skewless.contract.model.bundle import Bundle
from skewless.model.scoring import batch_score
from skewless.model.scoring.batch_score import ScoringRun, ScoringSpine
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import learnable_project
from tests.tables.histories import sources

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SPLIT = learnable_project.SPLIT


def opened(root: Path) -> Bundle:
    return open_bundle(root / "models" / "late" / "1.0.0", processor_features())


def run(root: Path, folder: Path, *, spine: Path | None = None, at: datetime = NOW, **options) -> ScoringRun:
    bundle = opened(root)
    asked = ScoringSpine(spine or root / "spine.parquet", SPLIT.start, SPLIT.end)
    place = root / "models" / "late" / "1.0.0"
    return batch_score.run(bundle, place, sources(root / "data", bundle.plan), asked, folder, scored_at=at, **options)


def killable(root: str, folder: str) -> None:
    batch_score._ROWS_PER_PART = 1_000
    run(Path(root), Path(folder))
