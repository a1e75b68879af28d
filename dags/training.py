"""What a retraining run is asked, as its params say, and how the verbs do it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Param

_WINDOWS = {"train_days": 210, "validate_days": 30, "test_days": 30}


def params() -> dict[str, Param]:
    """The params of a retraining DAG; by default they are the example's."""
    names = {"service": "flight_delay_v1", "model": "flight_delay", "spine": "flight_spine", "label": "late"}
    told = {"service": "Feature service.", "model": "Name that it is served under.", "spine": "Table of the rows."}
    told["label"] = "Column of the spine, 0 or 1."
    asked = {name: Param(default, type="string", description=told[name]) for name, default in names.items()}
    asked |= {name: Param(days, type="integer", minimum=1) for name, days in _WINDOWS.items()}
    asked["approval"] = Param(default=True, type="boolean", description="Whether a person approves before it serves.")
    return asked


def train(asked: Mapping[str, Any], end: datetime) -> str:
    """Join the spine up to `end` and train on it: first days train, the next validate, the last test.

    Raises: SpineMismatch, SourceMissing, SourceMismatch.
    """
    from dags.connections import workspace
    from pipelines import train as verb
    from pipelines import training_set
    from pipelines.flights.task import PARAMETERS
    from pipelines.spine_slices import SpineFiles

    work, test = workspace(), end - timedelta(days=asked["test_days"])
    validate = test - timedelta(days=asked["validate_days"])
    split = verb.Split(validate - timedelta(days=asked["train_days"]), validate, test, end)
    rows = SpineFiles(work.folders.data / asked["spine"], split.start, split.end)
    folder, memory = work.folders.training / asked["service"], work.settings.join_memory
    training_set.run(work.service(asked["service"]), rows, folder, memory=memory)
    done = verb.run(training_set.TrainingSet(folder), asked["label"], split, PARAMETERS)
    return f"{done.rows:,} rows, {done.rounds} trees; test {verb.told(done.metrics)}"


def publish(asked: Mapping[str, Any], created_at: datetime) -> dict[str, Any]:
    """Publish the trained model, not as the champion: its `model` and `version`, and what is `told` of it."""
    from dags.connections import settings
    from pipelines import publish as verb
    from pipelines.train import told
    from pipelines.training_set import TrainingSet

    folders, model = settings().folders, asked["model"]
    training_set = TrainingSet(folders.training / asked["service"])
    done = verb.run(training_set, folders.models, model, created_at=created_at, promote=False)
    version = done.manifest.version
    return {"model": model, "version": version, "told": f"{model} {version}; test {told(done.manifest.metrics)}"}
