"""A model of late flights, published."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.training.training_set import TrainingSet

NOW = datetime(2013, 10, 1, 12, tzinfo=UTC)


def published(opened: TrainingSet, models: Path, **options):
    return publish.run(opened, VersionPlace(models, "late", **options), created_at=NOW)
