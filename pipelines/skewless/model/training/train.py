"""Trains a LightGBM model on a training set that is split by time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import lightgbm as lgb
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from skewless.contract.errors import SkewlessError
from skewless.files.durable import write_file
from skewless.model.training.training_set import DATA, PLAN, Labels, TrainingSet, labelled
from skewless.runtime.durations import BadDuration, duration
from skewless.runtime.errors import SpineMismatch, StepInputMissing

MODEL, REPORT = "model.lightgbm.txt", "training.json"
Parameters = Mapping[str, float | int | str | bool]


@dataclass(eq=False)
class BadTrainingWindow(SkewlessError):
    """A text that does not give the lengths of the train, validation and test windows."""

    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is not a valid window; give the lengths to train, validate and test, as 212d,30d,92d"


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Three half-open windows of event time: train [start, validate), validate [validate, test), test [test, end)."""

    start: datetime
    validate: datetime
    test: datetime
    end: datetime

    @classmethod
    def until(cls, end: datetime, window: str) -> Self:
        """The three windows that end at `end`, with the lengths in `window`: 212d,30d,92d. Raises: BadTrainingWindow."""
        try:
            train, validate, test = map(duration, window.split(","))
        except (BadDuration, ValueError):
            raise BadTrainingWindow(window) from None
        test_start = end - test
        return cls(test_start - validate - train, test_start - validate, test_start, end)


class TrainingRun(msgspec.Struct, frozen=True):
    """The report of a training run; times are ISO 8601. `inputs` is the digest of everything that determines the model;
    `metrics` are computed from LightGBM's own scores on the test window.
    """

    inputs: str
    label: str
    start: str
    validate: str
    test: str
    end: str
    rows: int
    rounds: int
    metrics: dict[str, float]


def run(
    training_set: TrainingSet, label: str, split: TimeSplit, parameters: Parameters, *, rounds: int = 2000
) -> TrainingRun:
    """Train with early stopping on the validation window, and write model and report to the training set's folder.

    The same training set and parameters give the same model, so a model that exists already is not trained again. Rows
    without a label are left out. Raises: SpineMismatch.
    """
    inputs = _digest(training_set, label, split, parameters, rounds)
    exists = (training_set.folder / MODEL).exists()
    if exists and (previous := _report(training_set.folder)) and previous.inputs == inputs:
        return previous
    train, train_labels = _window(training_set, label, split.start, split.validate)
    valid, valid_labels = _window(training_set, label, split.validate, split.test)
    test, test_labels = _window(training_set, label, split.test, split.end)
    names = [column.name for column in training_set.plan.columns]
    booster = fit(
        training_set.matrix(train), train_labels, training_set.matrix(valid), valid_labels, names, parameters, rounds
    )
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


def _window(training_set: TrainingSet, label: str, start: datetime, end: datetime) -> tuple[pa.Table, Labels]:
    """The labelled rows with start <= event_timestamp < end. Raises: SpineMismatch where they do not have both classes."""
    table, labels = labelled(training_set.between(start, end), label)
    if set(np.unique(labels)) != {0.0, 1.0}:
        where = f"the {len(labels):,} labelled rows from {start.isoformat()} to {end.isoformat()}"
        raise SpineMismatch(label, f"must be 0 in some and 1 in others of {where}")
    return table, labels


def fit(
    train: NDArray[np.float32],
    train_labels: Labels,
    valid: NDArray[np.float32],
    valid_labels: Labels,
    names: list[str],
    parameters: Parameters,
    rounds: int,
) -> lgb.Booster:
    """Train a booster up to the round with the lowest validation loss; the same inputs give the same booster."""
    fixed = {"verbosity": -1, "deterministic": True, "force_row_wise": True, "seed": 7}
    data = lgb.Dataset(train, train_labels, feature_name=names, params=fixed)
    return lgb.train(
        {"objective": "binary", **fixed, **parameters},
        data,
        num_boost_round=rounds,
        valid_sets=[lgb.Dataset(valid, valid_labels, reference=data, params=fixed)],
        callbacks=[lgb.early_stopping(50, verbose=False)],
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


def _digest(training_set: TrainingSet, label: str, split: TimeSplit, parameters: Parameters, rounds: int) -> str:
    """SHA-256 of the training set's files, the options of the training, and LightGBM's version."""
    options = [lgb.__version__, label, str(split), str(sorted(parameters.items())), str(rounds)]
    digest = hashlib.sha256("\n".join(options).encode())
    for name in (DATA, PLAN):
        digest.update((training_set.folder / name).read_bytes())
    return digest.hexdigest()
