"""Training: by time, the same again for the same set, and told plainly where there is nothing to learn."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from skewless.model.training import train, training_set
from skewless.model.training.labels import BadLabels, labelled
from skewless.model.training.train import evaluate, format_metrics, load_model
from skewless.model.training.training_set import TrainingSet
from skewless.project.learner import BadLearner, LightGbm
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from skewless.runtime.errors import EmptyWindow, SpineMismatch, StepInputMissing
from tests.models import learnable_project


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("train")
    learnable_project.write_tables(folder / "data")
    return learnable_project.trained(folder / "set", folder / "data")


def test_the_same_set_gives_the_same_model(opened: TrainingSet):
    files = [opened.folder / name for name in (train.MODEL, train.REPORT)]
    first = [learnable_project.digest_of(file) for file in files]
    for gone in files:
        gone.unlink()
        train.run(opened, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(60))
        assert [learnable_project.digest_of(file) for file in files] == first


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_matter(opened: TrainingSet, tmp_path: Path, threads: int):
    mine = TrainingSet(Path(shutil.copytree(opened.folder, tmp_path / "set")))
    parameters = learnable_project.PARAMETERS | {"num_threads": threads}
    train.run(mine, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, LightGbm(**parameters, num_iterations=60))
    theirs, ours = (load_model(folder)[0].model_to_string() for folder in (opened.folder, mine.folder))
    assert ours.partition("\nparameters:")[0] == theirs.partition("\nparameters:")[0]


def test_a_model_that_is_there_is_not_trained_again(opened: TrainingSet, monkeypatch: pytest.MonkeyPatch):
    def busy(*_) -> None:
        raise AssertionError("it trains")

    monkeypatch.setattr(train, "fit", busy)
    report = load_model(opened.folder)[1]
    assert (
        train.run(opened, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(60))
        == report
    )
    with pytest.raises(AssertionError, match="it trains"):
        train.run(opened, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(61))


def test_the_report_is_of_the_model_on_disk(opened: TrainingSet):
    booster, report = load_model(opened.folder)
    test, labels = labelled(
        opened.between(learnable_project.SPLIT.test, learnable_project.SPLIT.end), learnable_project.LABEL
    )
    assert evaluate(labels, np.asarray(booster.predict(opened.matrix(test)))) == report.metrics
    assert (booster.num_trees(), report.label) == (report.rounds, learnable_project.LABEL_COLUMN)
    assert booster.feature_name() == ["mean", "departures", "age", "hour", "swell"]
    train_rows, _ = labelled(
        opened.between(learnable_project.SPLIT.start, learnable_project.SPLIT.validate), learnable_project.LABEL
    )
    assert (
        report.rows
        == len(train_rows)
        < len(opened.between(learnable_project.SPLIT.start, learnable_project.SPLIT.validate))
    )
    assert report.metrics["auc"] > 0.6
    assert format_metrics(report.metrics).startswith("AUC 0.")


def test_metrics():
    found = evaluate(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.8, 0.2, 0.4]))
    assert found == pytest.approx({"rows": 4, "auc": 0.75, "logloss": 0.612192, "constant_logloss": 0.693147}, abs=1e-6)


def test_what_is_not_trained_is_told(tmp_path: Path):
    with pytest.raises(StepInputMissing, match="run `skewless train` first"):
        load_model(tmp_path)


def test_a_window_without_both_classes_is_refused_and_the_old_model_stays(opened: TrainingSet):
    split, later = learnable_project.SPLIT, learnable_project.SPLIT.end + timedelta(days=9)
    before = learnable_project.digest_of(opened.folder / train.MODEL)
    late, learner = learnable_project.LABEL_COLUMN, learnable_project.learner(5)
    with pytest.raises(EmptyWindow, match="the test window of training set"):
        train.run(opened, late, TimeSplit(split.start, split.validate, split.end, later), learner)
    short = TimeSplit(split.start, split.validate, split.test, split.test + timedelta(minutes=40))
    with pytest.raises(SpineMismatch, match=r"'late' must be 0 in some and 1 in others of the \d rows from .* by then"):
        train.run(opened, late, short, learner)
    with pytest.raises(SpineMismatch, match="'later' is absent"):
        train.run(opened, LabelColumn("later"), split, learner)
    with pytest.raises(BadLabels, match=r"'hour' is int64 and holds \d+ in \d+ rows"):
        train.run(opened, LabelColumn("hour"), split, learner)
    assert learnable_project.digest_of(opened.folder / train.MODEL) == before


def test_a_parameter_that_lightgbm_does_not_know_is_refused(opened: TrainingSet):
    with pytest.raises(
        BadLearner, match=r"learner: learning_rte is no parameter of LightGBM; did you mean 'learning_rate'\?"
    ):
        train.run(opened, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, LightGbm(learning_rte=0.1))
    learner, changed = learnable_project.learner(5), {"num_leaves": 4, "learning_rate": 0.11}
    more = train.run(opened, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learner, changed)
    assert load_model(opened.folder)[0].params["num_leaves"] == 4
    assert more.rounds <= 5


def test_a_kill_between_the_two_files_leaves_nothing_to_publish(opened: TrainingSet, tmp_path: Path, monkeypatch):
    folder = tmp_path / "set"
    training_set.run(learnable_project.definitions(opened.folder.parent / "data"), learnable_project.spine(), folder)
    mine = TrainingSet(folder)
    (folder / train.REPORT).write_text("of another model")

    def dies(path: Path, content: bytes) -> None:
        if path.name == train.REPORT:
            raise KeyboardInterrupt
        path.write_bytes(content)

    monkeypatch.setattr(train, "write_file", dies)
    with pytest.raises(KeyboardInterrupt):
        train.run(mine, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(5))
    with pytest.raises(StepInputMissing):
        load_model(folder)
