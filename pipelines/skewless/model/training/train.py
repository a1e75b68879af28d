"""Trains a model on a training set that is split by time: LightGBM, or by a function of the project's own.

Rows whose label was not known by the end of their window take no part: in production the model could not have seen it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import lightgbm as lgb
import msgspec
import numpy as np
from lightgbm.basic import _ConfigAliases
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from skewless.files.durable import write_file
from skewless.model.conversion.trained_models import LIGHTGBM_FILE, XGBOOST_FILE
from skewless.model.distributions.coverage import metadata_file
from skewless.model.training.labels import Labels
from skewless.model.training.learned_model import learn
from skewless.model.training.training_rows import window_rows
from skewless.model.training.training_set import DATA, PLAN, TrainingSet
from skewless.project.learner import (
    LIGHTGBM,
    PATIENCE,
    ROUNDS,
    BadLearner,
    Learner,
    LearnerFunction,
    LightGbm,
    Parameters,
    TrainingData,
    learner_name,
)
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from skewless.runtime.errors import StepInputMissing, did_you_mean

MODEL, GRAPH, REPORT = LIGHTGBM_FILE, "_model.onnx", "_training.json"
NO_PARAMETERS: Parameters = MappingProxyType({})


class TrainingRun(msgspec.Struct, frozen=True):
    """The report of a training run; times are ISO 8601. `inputs` is the digest of everything that determines the model, empty
    for a project's own function, which is called each time; `metrics` are of the test window. `gap` is the greatest distance
    of a function's own model from its ONNX graph there, on `apart` rows more than 1e-5.
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
    learner: str = LIGHTGBM
    gap: float = 0.0
    apart: int = 0

    def __str__(self) -> str:
        trees = f"{self.rounds} trees" if self.learner == LIGHTGBM else f"by {self.learner}"
        apart = f"; as ONNX {self.apart:,} scores differ by up to {self.gap:.2g}" if self.apart else ""
        return f"{self.rows:,} rows, {trees}; test {format_metrics(self.metrics)}{apart}"


def run(
    training_set: TrainingSet,
    label: LabelColumn,
    split: TimeSplit,
    learner: Learner,
    parameters: Parameters = NO_PARAMETERS,
) -> TrainingRun:
    """Train, and write model and report to the training set's folder. `parameters` replace those of the learner.

    The same training set and LightGBM parameters give the same model, so a model that exists already is not trained again.
    Rows whose label was not known by the end of their window are left out. Raises: as `window_rows`, `learn`; BadLearner.
    """
    if not isinstance(learner, LightGbm):
        return _run_function(training_set, label, split, learner, parameters)
    learner = learner.with_parameters(parameters)
    inputs = _digest(training_set, label, split, learner)
    exists = (training_set.folder / MODEL).exists()
    if exists and (previous := _report(training_set.folder)) and previous.inputs == inputs:
        return previous
    rows = window_rows(training_set, label, split)
    train, valid, test = rows["train"], rows["validate"], rows["test"]
    booster = fit(train.to_numpy(), train.labels, valid.to_numpy(), valid.labels, list(train.names), learner)
    metrics = evaluate(test.labels, np.asarray(booster.predict(test.to_numpy())))
    report = _run(label, split, len(train), metrics, inputs=inputs, rounds=booster.best_iteration)
    text = booster.model_to_string(num_iteration=booster.best_iteration).encode()
    _save(training_set.folder, {MODEL: text}, report)
    return report


def _run_function(
    training_set: TrainingSet, label: LabelColumn, split: TimeSplit, function: LearnerFunction, parameters: Parameters
) -> TrainingRun:
    rows = window_rows(training_set, label, split)
    data = TrainingData(rows["train"], rows["validate"], parameters)
    learned = learn(function, training_set, data, rows["test"])
    metrics = evaluate(rows["test"].labels, learned.scores)
    report = _run(label, split, len(rows["train"]), metrics, inputs="", rounds=0)
    report = msgspec.structs.replace(report, learner=learner_name(function), gap=learned.gap, apart=learned.apart)
    native = dict([learned.converted.native]) if learned.converted.native else {}
    _save(training_set.folder, {GRAPH: learned.converted.graph} | native, report)
    return report


def _run(
    label: LabelColumn, split: TimeSplit, rows: int, metrics: dict[str, float], *, inputs: str, rounds: int
) -> TrainingRun:
    instants = {name: getattr(split, name).isoformat() for name in ("start", "validate", "test", "end")}
    return TrainingRun(inputs=inputs, label=label, rows=rows, rounds=rounds, metrics=metrics, **instants)


def _save(folder: Path, files: Mapping[str, bytes], report: TrainingRun) -> None:
    """A kill between the files must not pair a new one with old ones: the report goes first and comes last."""
    for name in (REPORT, MODEL, GRAPH, XGBOOST_FILE):
        (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        write_file(folder / name, content)
    write_file(folder / REPORT, msgspec.json.format(msgspec.json.encode(report)))


def fit(
    train: NDArray[np.float32],
    train_labels: Labels,
    valid: NDArray[np.float32],
    valid_labels: Labels,
    names: list[str],
    learner: LightGbm,
) -> lgb.Booster:
    """Train a booster up to the round with the lowest validation loss; the same inputs give the same booster.
    Raises: BadLearner.
    """
    fixed = {"verbosity": -1, "deterministic": True, "force_row_wise": True, "seed": 7}
    _check_parameters(learner)
    parameters = dict(learner.parameters)
    rounds, patience = int(parameters.pop(ROUNDS)), int(parameters.pop(PATIENCE))
    data = lgb.Dataset(train, train_labels, feature_name=names, params=fixed)
    try:
        return lgb.train(
            {"objective": "binary", **fixed, **parameters},
            data,
            num_boost_round=rounds,
            valid_sets=[lgb.Dataset(valid, valid_labels, reference=data, params=fixed)],
            callbacks=[lgb.early_stopping(patience, verbose=False)],
        )
    except lgb.basic.LightGBMError as error:
        raise BadLearner("parameters", f"do not fit LightGBM or these rows ({error})") from error


def _check_parameters(learner: LightGbm) -> None:
    """LightGBM only warns of a parameter that it does not know. Raises: BadLearner."""
    aliases = _ConfigAliases._get_all_param_aliases()  # noqa: SLF001 - it has no public list
    known = {name for names in aliases.values() for name in names} | set(aliases)
    for name in learner.parameters:
        if name not in known:
            raise BadLearner(name, f"is no parameter of LightGBM; {did_you_mean(name, known)}see its documentation")


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


def load_report(folder: Path) -> TrainingRun:
    """The report in a training set's folder. Raises: StepInputMissing."""
    report = _report(folder)
    if report is None:
        raise StepInputMissing(f"a model in {folder}", "skewless train")
    return report


def load_model(folder: Path) -> tuple[lgb.Booster, TrainingRun]:
    """The booster and report in a training set's folder, of the learner LightGBM. Raises: StepInputMissing."""
    report = load_report(folder)
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
