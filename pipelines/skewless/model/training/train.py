"""Trains a LightGBM model on a training set that is split by time.

Rows whose label was not known by the end of their window take no part: in production the model could not have seen it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import lightgbm as lgb
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from skewless.files.durable import write_file
from skewless.model.distributions.coverage import metadata_file
from skewless.model.training.labels import Labels, known_labels
from skewless.model.training.training_set import DATA, PLAN, TrainingSet
from skewless.project.learner import PATIENCE, ROUNDS, LightGbm
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from skewless.runtime.errors import SpineMismatch, StepInputMissing

MODEL, REPORT = "_model.lightgbm.txt", "_training.json"


class TrainingRun(msgspec.Struct, frozen=True):
    """The report of a training run; times are ISO 8601. `inputs` is the digest of everything that determines the model;
    `metrics` are computed from LightGBM's own scores on the test window.
    """

    inputs: str
    label: LabelColumn
    start: str
    validate: str
    test: str
    end: str
    rows: int
    rounds: int
    metrics: dict[str, float]


def run(training_set: TrainingSet, label: LabelColumn, split: TimeSplit, learner: LightGbm) -> TrainingRun:
    """Train with early stopping on the validation window, and write model and report to the training set's folder.

    The same training set and learner give the same model, so a model that exists already is not trained again. Rows whose
    label was not known by the end of their window are left out. Raises: SpineMismatch, BadLabels.
    """
    inputs = _digest(training_set, label, split, learner)
    exists = (training_set.folder / MODEL).exists()
    if exists and (previous := _report(training_set.folder)) and previous.inputs == inputs:
        return previous
    train, train_labels = _window(training_set, label, split.start, split.validate)
    valid, valid_labels = _window(training_set, label, split.validate, split.test)
    test, test_labels = _window(training_set, label, split.test, split.end)
    names = [column.name for column in training_set.plan.columns]
    booster = fit(training_set.matrix(train), train_labels, training_set.matrix(valid), valid_labels, names, learner)
    scores = np.asarray(booster.predict(training_set.matrix(test)))
    report = TrainingRun(
        inputs=inputs,
        label=label,
        start=split.start.isoformat(),
        validate=split.validate.isoformat(),
        test=split.test.isoformat(),
        end=split.end.isoformat(),
        rows=len(train_labels),
        rounds=booster.best_iteration,
        metrics=evaluate(test_labels, scores),
    )
    (training_set.folder / REPORT).unlink(missing_ok=True)  # a kill between the two files must not pair new with old
    write_file(training_set.folder / MODEL, booster.model_to_string(num_iteration=booster.best_iteration).encode())
    write_file(training_set.folder / REPORT, msgspec.json.format(msgspec.json.encode(report)))
    return report


def _window(training_set: TrainingSet, label: LabelColumn, start: datetime, end: datetime) -> tuple[pa.Table, Labels]:
    """The rows with start <= event_timestamp < end whose label was known at `end`.

    Raises: SpineMismatch where they do not have both classes.
    """
    table, labels = known_labels(training_set.between(start, end), label, end)
    if set(np.unique(labels)) != {0.0, 1.0}:
        where = f"the {len(labels):,} rows from {start.isoformat()} to {end.isoformat()} whose label was known by then"
        raise SpineMismatch(label.name, f"must be 0 in some and 1 in others of {where}")
    return table, labels


def fit(
    train: NDArray[np.float32],
    train_labels: Labels,
    valid: NDArray[np.float32],
    valid_labels: Labels,
    names: list[str],
    learner: LightGbm,
) -> lgb.Booster:
    """Train a booster up to the round with the lowest validation loss; the same inputs give the same booster."""
    fixed = {"verbosity": -1, "deterministic": True, "force_row_wise": True, "seed": 7}
    parameters = dict(learner.parameters)
    rounds, patience = int(parameters.pop(ROUNDS)), int(parameters.pop(PATIENCE))
    data = lgb.Dataset(train, train_labels, feature_name=names, params=fixed)
    return lgb.train(
        {"objective": "binary", **fixed, **parameters},
        data,
        num_boost_round=rounds,
        valid_sets=[lgb.Dataset(valid, valid_labels, reference=data, params=fixed)],
        callbacks=[lgb.early_stopping(patience, verbose=False)],
    )


def evaluate(labels: Labels, scores: NDArray[np.floating]) -> dict[str, float]:
    """AUC and logloss of scores, and the logloss of the best constant score."""
    constant = np.full(len(labels), labels.mean())
    return {
        "rows": float(len(labels)),
        "auc": float(roc_auc_score(labels, scores)),
        "logloss": float(log_loss(labels, scores.astype(float))),
        "constant_logloss": float(log_loss(labels, constant)),
    }


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Metrics from `evaluate` as a line of text."""
    return (
        f"AUC {metrics['auc']:.4f}, logloss {metrics['logloss']:.4f} "
        f"(a constant: {metrics['constant_logloss']:.4f}) on {metrics['rows']:,.0f} rows"
    )


def load_model(folder: Path) -> tuple[lgb.Booster, TrainingRun]:
    """The booster and report in a training set's folder. Raises: StepInputMissing."""
    report = _report(folder)
    if report is None:
        raise StepInputMissing(f"a model in {folder}", "skewless train")
    return lgb.Booster(model_str=(folder / MODEL).read_text()), report


def _report(folder: Path) -> TrainingRun | None:
    """The report of the last training in a folder; None where it is missing or has another format."""
    try:
        return msgspec.json.decode((folder / REPORT).read_bytes(), type=TrainingRun)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _digest(training_set: TrainingSet, label: LabelColumn, split: TimeSplit, learner: LightGbm) -> str:
    """SHA-256 of the training set's files, the options of the training, and LightGBM's version."""
    options = [lgb.__version__, str(label), str(split), str(sorted(learner.parameters.items()))]
    digest = hashlib.sha256("\n".join(options).encode())
    for name in (DATA, PLAN):
        digest.update(metadata_file(training_set.folder, name).read_bytes())
    return digest.hexdigest()
