"""A project that learns: sixty days of tables, a spine with labels, and a champion that knows little."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore

from pipelines import publish, train, training_set
from pipelines.settings import Settings
from pipelines.training_set import TrainingSet
from pipelines.workspace import Workspace
from tests.dags import served
from tests.pipelines import learned
from tests.pipelines.served import NOON
from tests.pipelines.test_retrain import EARLY

MODEL = "late"
CHOICES = {"model": MODEL, "service": "both", "spine": "spine", "label": learned.LABEL, "window": "40d,10d,10d"}
ENDED = {"start": "2013-04-01", "end": "2013-04-02"}
"""Sixty days after the tables begin, and so the training."""


def project(state: Path, repo: Path) -> None:
    learned.write_tables(state / "data")
    (state / "data" / "spine").mkdir()
    pq.write_table(learned.spine(), state / "data" / "spine" / "part-0.parquet")
    store = FeatureStore(repo_path=str(served.define(repo)))
    delays, planes = (store.get_feature_view(name) for name in ("delays", "planes"))
    store.apply([FeatureService(name="both", features=[delays[["mean", "departures"]], planes[["age"]]])])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(state))
        environment.setenv("SKEWLESS_FEATURE_REPO", str(repo))
        definitions = Workspace(Settings.read()).service("both")
    folder = state / "training" / "first"
    training_set.run(definitions, learned.spine(), folder)
    train.run(TrainingSet(folder), learned.LABEL, EARLY, learned.PARAMETERS, rounds=60)
    publish.run(TrainingSet(folder), state / "models", MODEL, created_at=NOON)
