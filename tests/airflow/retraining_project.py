"""A project that learns: sixty days of tables, a spine with labels, and a champion that knows little."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore

from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.training import train, training_set
from skewless.model.training.training_set import TrainingSet
from skewless.project.project import ProjectContext
from skewless.runtime.settings import ProjectSettings
from tests.airflow import served_projects
from tests.models import learnable_project
from tests.models.declarations import declare
from tests.monitoring.retraining.training_days import EARLY
from tests.monitoring.served_project import NOON

MODEL = "late"
CHOICES = {"label": learnable_project.LABEL, "window": "40d,10d,10d"}
"""What the Variable says; all else is declared."""
ENDED = {"start": "2013-04-01", "end": "2013-04-02"}
"""Sixty days after the tables begin, and so the training."""


def project(state: Path, repo: Path) -> None:
    learnable_project.write_tables(state / "data")
    (state / "data" / "spine").mkdir()
    pq.write_table(learnable_project.spine(), state / "data" / "spine" / "part-0.parquet")
    store = FeatureStore(repo_path=str(served_projects.define(repo)))
    delays, planes = (store.get_feature_view(name) for name in ("delays", "planes"))
    store.apply([FeatureService(name="both", features=[delays[["mean", "departures"]], planes[["age"]]])])
    declare(repo, MODEL, service="both", label="no such column", learner=learnable_project.learner(2000))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(state))
        environment.setenv("SKEWLESS_FEATURE_REPO", str(repo))
        definitions = ProjectContext(ProjectSettings.read()).service("both")
    folder = state / "training" / "first"
    training_set.run(definitions, learnable_project.spine(), folder)
    train.run(TrainingSet(folder), learnable_project.LABEL_COLUMN, EARLY, learnable_project.learner(60))
    publish.run(TrainingSet(folder), VersionPlace(state / "models", MODEL), created_at=NOON)
