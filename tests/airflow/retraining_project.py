"""A project that learns: sixty days of tables, a spine with labels, and two models, whose champions know little."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore

from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.training import train, training_set
from skewless.model.training.training_set import TrainingSet
from skewless.project.model import PromotionRule
from skewless.project.project import ProjectContext
from skewless.runtime.settings import ProjectSettings
from tests.airflow import served_projects
from tests.models import learnable_project
from tests.models.declarations import declaration, declare
from tests.monitoring.retraining.training_days import EARLY
from tests.monitoring.served_project import NOON

MODEL, STRICT = "late", "strict"
"""The second model wants a gain that nothing has, asks nobody, and declares its windows."""
CHOICES = {"window": "40d,10d,10d"}
"""What the Variable of the first model's DAG says; all else is declared."""
ENDED = {"start": "2013-04-01", "end": "2013-04-02"}
"""Sixty days after the tables begin, and so the training."""


def project(state: Path, repo: Path) -> None:
    learnable_project.write_tables(state / "data")
    (state / "data" / "spine").mkdir()
    pq.write_table(learnable_project.spine(), state / "data" / "spine" / "part-0.parquet")
    store = FeatureStore(repo_path=str(served_projects.define(repo)))
    delays, planes = (store.get_feature_view(name) for name in ("delays", "planes"))
    store.apply([FeatureService(name="both", features=[delays[["mean", "departures"]], planes[["age"]]])])
    file = declare(repo, MODEL, service="both", label=learnable_project.LABEL, learner=learnable_project.learner(2000))
    windows = "Windows(train=timedelta(days=40), validate=timedelta(days=10), test=timedelta(days=10))"
    rule = PromotionRule(margin=5.0, approval=False)
    with file.open("a") as models:
        strict = {"windows": windows, "learner": learnable_project.learner(60), "promotion": rule}
        models.write(declaration(STRICT, service="both", label=learnable_project.LABEL, **strict))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(state))
        environment.setenv("SKEWLESS_FEATURE_REPO", str(repo))
        definitions = ProjectContext(ProjectSettings.read()).service("both")
    folder = state / "training" / "first"
    training_set.run(definitions, learnable_project.spine(), folder)
    train.run(TrainingSet(folder), learnable_project.LABEL_COLUMN, EARLY, learnable_project.learner(60))
    for model in (MODEL, STRICT):
        publish.run(TrainingSet(folder), VersionPlace(state / "models", model), created_at=NOON)
