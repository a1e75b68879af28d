"""A training set to publish a model of, and a folder of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.model.training.training_set import TrainingSet
from tests.models import learnable_project


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("publish")
    learnable_project.write_tables(folder / "data")
    return learnable_project.trained(folder / "set", folder / "data")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"
