"""Publishing: a bundle that proves itself, once per version, and a model that decides as LightGBM does."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidBundle
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.transforms import TransformGraph
from skewless.model.conversion.lightgbm_export import convert, narrowed
from skewless.model.distributions import baseline, coverage
from skewless.model.publishing import publish, tree_leaves
from skewless.model.publishing.publish import VersionPlace, promote_version
from skewless.model.publishing.rollout_steps import champion_version
from skewless.model.publishing.tree_ensemble import NotExplainable
from skewless.model.publishing.versions import versions
from skewless.model.training import train, training_set
from skewless.model.training.labels import labelled
from skewless.model.training.training_set import TrainingSet
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import AlreadyPublished, StepInputMissing
from tests.model.publishing.late_model import published
from tests.models import learnable_project

FILES = ["baseline.json", "card.html", "golden.parquet", "leaves.parquet", "manifest.json", "model.onnx", "plan.json"]
FILES += ["transforms.onnx"]


def test_a_bundle_opens_and_scores_as_the_model(opened: TrainingSet, models: Path):
    done = published(opened, models)
    assert (done.created, done.folder, done.manifest.version) == (True, models / "late" / "1.0.0", "1.0.0")
    assert sorted(path.name for path in done.folder.iterdir()) == FILES
    bundle = open_bundle(done.folder, processor_features())
    assert bundle.exact
    assert bundle.manifest == done.manifest
    assert bundle.plan == opened.plan
    booster, report = train.load_model(opened.folder)
    test, _ = labelled(
        opened.between(learnable_project.SPLIT.test, learnable_project.SPLIT.end), learnable_project.LABEL
    )
    matrix = opened.matrix(test)
    gap = np.abs(booster.predict(matrix) - bundle.scorer.score(matrix)).max()
    assert gap == done.conversion_gap < 1e-6
    assert bundle.manifest.metrics == pytest.approx(report.metrics, abs=1e-6)


def test_what_a_manifest_says(opened: TrainingSet, models: Path):
    manifest = published(opened, models).manifest
    assert (manifest.name, manifest.created_at) == ("late", "2013-10-01T12:00:00+00:00")
    assert manifest.contract == opened.plan.fingerprint
    assert (manifest.training_start, manifest.training_end) == (
        learnable_project.SPLIT.start.isoformat(),
        learnable_project.SPLIT.validate.isoformat(),
    )
    assert manifest.processor == processor_features()
    assert {"lightgbm", "onnxruntime", "skewless"} <= set(manifest.tools)
    golden = pq.read_table(models / "late" / "1.0.0" / "golden.parquet")
    assert golden.num_rows == 256


def test_the_baseline_is_of_the_training_rows_and_the_test_scores(opened: TrainingSet, models: Path):
    done = published(opened, models)
    found = baseline.read(done.folder, "late", "1.0.0")
    train_rows = opened.between(learnable_project.SPLIT.start, learnable_project.SPLIT.validate)
    assert list(found.inputs) == ["mean", "departures", "age", "hour", "swell"]
    assert all(one.rows == len(train_rows) for one in found.inputs.values())
    assert isinstance(found.inputs["hour"], baseline.CategoryCounts)
    assert list(found.inputs["hour"].counts) == [str(hour) for hour in range(24)]
    assert found.inputs["mean"].nulls == np.isnan(opened.matrix(train_rows)[:, 0]).sum() > 0
    assert sum(found.keys["origin"].counts.values()) == len(train_rows)
    absent = found.views["planes"].absent
    assert found.views["planes"].rows == len(train_rows)
    unknown = sum(int(tail[1:]) >= 200 for tail in train_rows.column("tailnum").to_pylist())
    assert absent == unknown
    assert absent > 0, "20 of the aircraft are in no register"
    scores = open_bundle(done.folder, processor_features()).scorer.score(
        opened.matrix(opened.between(learnable_project.SPLIT.test, learnable_project.SPLIT.end))
    )
    assert found.scores == baseline.numbers(scores)


def test_a_training_set_of_an_older_version_has_no_absences(opened: TrainingSet, models: Path, tmp_path: Path):
    older = TrainingSet(Path(shutil.copytree(opened.folder, tmp_path / "set")))
    (older.folder / coverage.FILE).unlink()
    done = published(older, models)
    assert baseline.read(done.folder, "late", "1.0.0").views == {}


def test_the_same_model_is_published_once(opened: TrainingSet, models: Path):
    first = published(opened, models)
    before = {path.name: learnable_project.digest_of(path) for path in first.folder.iterdir()}
    again = publish.run(opened, VersionPlace(models, "late"), created_at=datetime(2014, 1, 1, tzinfo=UTC))
    assert (again.created, again.folder, again.manifest) == (False, first.folder, first.manifest)
    assert again.conversion_gap == first.conversion_gap
    assert {path.name: learnable_project.digest_of(path) for path in first.folder.iterdir()} == before
    assert versions(models / "late") == ["1.0.0"]


def test_the_contributions_of_a_published_model_are_lightgbms(opened: TrainingSet, models: Path):
    done = published(opened, models)
    assert done.unexplained == ""
    found = open_bundle(done.folder, processor_features()).contributions
    assert (found.head.covers, found.head.link, found.head.output) == ("lightgbm", "logistic", "probabilities")
    booster, _ = train.load_model(opened.folder)
    test, _ = labelled(
        opened.between(learnable_project.SPLIT.test, learnable_project.SPLIT.end), learnable_project.LABEL
    )
    matrix = opened.matrix(test)
    told = found.of(matrix)
    own = np.asarray(booster.predict(matrix, pred_contrib=True))
    assert np.abs(told.values[:, 0] - own[:, :-1]).max() < 1e-6, "its leaves are float64, those of ONNX float32"
    assert np.abs(told.base + told.values.sum(axis=2) - told.raw).max() < 1e-12


def test_a_model_that_was_published_without_leaves_is_published_again(opened: TrainingSet, models: Path, monkeypatch):
    def older(*_) -> bytes:
        raise NotExplainable("it was the fashion")

    monkeypatch.setattr(tree_leaves, "build_leaves", older)
    first = published(opened, models)
    assert first.unexplained == "its scores cannot be explained by contributions: it was the fashion"
    assert not (first.folder / "leaves.parquet").exists()
    assert published(opened, models).unexplained == first.unexplained, "unchanged, and still told"
    assert versions(models / "late") == ["1.0.0"]
    monkeypatch.undo()
    again = published(opened, models)
    assert (again.created, again.manifest.version) == (True, "1.1.0")
    assert again.manifest.digests["model.onnx"] == first.manifest.digests["model.onnx"]


def test_a_published_version_never_changes(opened: TrainingSet, models: Path):
    published(opened, models, version="1.2.0")
    with pytest.raises(AlreadyPublished, match=r"late 1\.2\.0 is published and immutable"):
        published(opened, models, version="1.2.0")
    assert versions(models / "late") == ["1.2.0"]


def test_somebody_quicker_keeps_the_version(opened: TrainingSet, models: Path, monkeypatch):
    open_it = publish.open_bundle

    def slow(folder: Path, processor):
        monkeypatch.setattr(publish, "open_bundle", open_it)
        quicker = published(opened, models, version="1.0.0")
        (quicker.folder / "mine").write_text("quicker")
        return open_it(folder, processor)

    monkeypatch.setattr(publish, "open_bundle", slow)
    with pytest.raises(AlreadyPublished):
        published(opened, models, version="1.0.0")
    assert (models / "late" / "1.0.0" / "mine").exists()
    assert sorted(path.name for path in (models / "late").iterdir()) == ["1.0.0", "rollout"]


@pytest.mark.parametrize("version", ["1", "1.0", "01.0.0", "1.0.0-rc1", "../1.0.0", "v1.0.0", ""])
def test_a_version_is_three_numbers(opened: TrainingSet, models: Path, version: str):
    with pytest.raises(InvalidBundle, match=r"not a version like 1.2.0"):
        published(opened, models, version=version)
    assert not models.exists()


def test_another_model_or_contract_is_the_next_minor_version(opened: TrainingSet, models: Path, tmp_path: Path):
    assert published(opened, tmp_path / "empty", deleted=["1.0.0", "1.3.0"]).manifest.version == "1.4.0"
    with pytest.raises(AlreadyPublished):
        published(opened, tmp_path / "empty", version="1.3.0", deleted=["1.3.0"])
    published(opened, models, version="1.9.3")
    mine = TrainingSet(Path(shutil.copytree(opened.folder, tmp_path / "set")))
    train.run(mine, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(5))
    assert published(mine, models).manifest.version == "1.10.0"
    compiled = learnable_project.renamed(learnable_project.definitions(opened.folder.parent / "data"), "another")
    training_set.run(compiled, learnable_project.spine(), tmp_path / "other")
    other = TrainingSet(tmp_path / "other")
    train.run(other, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(5))
    assert published(other, models).manifest.version == "1.11.0"
    assert versions(models / "late") == ["1.9.3", "1.10.0", "1.11.0"], "by number, not by letter"


def test_the_champion_is_the_last_that_was_promoted(opened: TrainingSet, models: Path):
    with pytest.raises(StepInputMissing, match="run `skewless publish` first"):
        champion_version(ModelRegistry(models, models), "late")
    published(opened, models, promote=False)
    with pytest.raises(StepInputMissing):
        champion_version(ModelRegistry(models, models), "late")
    published(opened, models)
    assert champion_version(ModelRegistry(models, models), "late") == "1.0.0"
    published(opened, models, version="2.0.0", promote=False)
    assert champion_version(ModelRegistry(models, models), "late") == "1.0.0"
    promote_version(models, "late", "2.0.0", datetime(2013, 10, 1, tzinfo=UTC))
    assert champion_version(ModelRegistry(models, models), "late") == "2.0.0"


def test_an_unsound_bundle_is_not_taken_for_the_same(opened: TrainingSet, models: Path):
    first = published(opened, models)
    (first.folder / "model.onnx").write_bytes(b"damaged")
    assert published(opened, models).manifest.version == "1.1.0"


def test_without_a_model_there_is_nothing_to_publish(opened: TrainingSet, models: Path, tmp_path: Path):
    folder = Path(shutil.copytree(opened.folder, tmp_path / "set"))
    (folder / train.REPORT).unlink()
    with pytest.raises(StepInputMissing, match="skewless train"):
        published(TrainingSet(folder), models)


def test_a_crash_on_the_way_leaves_nothing(opened: TrainingSet, models: Path, monkeypatch):
    def crash(*_) -> None:
        raise MemoryError

    monkeypatch.setattr(publish, "open_bundle", crash)
    with pytest.raises(MemoryError):
        published(opened, models)
    assert list((models / "late").iterdir()) == []
    monkeypatch.undo()
    assert published(opened, models).manifest.version == "1.0.0"


def test_a_score_that_depends_on_its_batch_is_refused(opened: TrainingSet, models: Path, monkeypatch):
    honest = MatrixScorer.score

    def blurred(self, matrix):
        scores = honest(self, matrix)
        return scores + np.float32(1e-6) if len(matrix) == 7 else scores

    monkeypatch.setattr(MatrixScorer, "score", blurred)
    with pytest.raises(InvalidBundle, match=r"the score of row 0 and on depends on the batch \(7 rows or all\)"):
        published(opened, models)
    assert not (models / "late" / "1.0.0").exists()


def test_a_transform_that_depends_on_its_batch_is_refused(opened: TrainingSet, models: Path, monkeypatch):
    honest = TransformGraph.run

    def over_all_rows(self, values):
        found = honest(self, values)
        return {name: ColumnValues(column.data - column.data[-1], column.valid) for name, column in found.items()}

    monkeypatch.setattr(TransformGraph, "run", over_all_rows)
    with pytest.raises(InvalidBundle, match="the model input of row 0 and on depends on the batch"):
        published(opened, models)


def test_a_transform_that_depends_on_a_large_batch_is_refused(opened: TrainingSet, models: Path, monkeypatch):
    """Larger than there are golden rows."""
    honest = TransformGraph.run

    def blurred(self, values):
        found = honest(self, values)
        if len(next(iter(found.values())).valid) != 1_000:
            return found
        return {name: ColumnValues(column.data + np.float32(1), column.valid) for name, column in found.items()}

    monkeypatch.setattr(TransformGraph, "run", blurred)
    with pytest.raises(
        InvalidBundle, match=r"the model input of row 0 and on depends on the batch \(1000 rows or all\)"
    ):
        published(opened, models)


def test_a_conversion_that_is_far_off_is_refused(opened: TrainingSet, models: Path, monkeypatch):
    honest = lgb.Booster.predict
    monkeypatch.setattr(lgb.Booster, "predict", lambda self, matrix: honest(self, matrix) + 2e-5)
    with pytest.raises(InvalidBundle, match="2e-05 off LightGBM's, more than 1e-05"):
        published(opened, models)
    assert not models.exists()


def test_a_conversion_is_the_same_again(opened: TrainingSet):
    booster, _ = train.load_model(opened.folder)
    assert convert(booster, 5) == convert(booster, 5)


BASES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 16_777_216.0, 1e-45, -1e-45, 1e-38, 3.4028235e38, -3.4028235e38, 1e-35]),
    st.floats(-1e6, 1e6, width=32),
)


def neighbours(base: float) -> list[np.float32]:
    """Some consecutive float32 values around `base`."""
    value = np.float32(base)
    with np.errstate(all="ignore"):
        return [np.nextafter(value, np.float32(-np.inf)), value, np.nextafter(value, np.float32(np.inf))]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    bases=st.lists(st.lists(BASES, min_size=1, max_size=3), min_size=1, max_size=3),
    seed=st.integers(0, 99),
    nulls=st.booleans(),
    infinite=st.booleans(),
)
def test_a_model_decides_as_lightgbm_does_between_neighbouring_values(bases, seed, nulls, infinite):
    rng = np.random.default_rng(seed)
    hard = [np.array([one for base in column for one in neighbours(base)], np.float32) for column in bases]
    known = [column if infinite else column[np.isfinite(column)] for column in hard]
    matrix = np.stack([rng.choice(column, 400) for column in known], axis=1)
    if infinite:
        matrix[rng.random(matrix.shape) < 0.1] = np.inf
    if nulls:
        matrix[rng.random(matrix.shape) < 0.1] = np.nan
    with np.errstate(invalid="ignore"):
        labels = (matrix[:, 0] >= known[0][len(known[0]) // 2]) ^ (rng.random(400) < 0.2)
    parameters = {"objective": "binary", "verbosity": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1, "num_threads": 1}
    booster = lgb.train(parameters, lgb.Dataset(matrix, labels.astype(float), params=parameters), 8)
    asked = np.stack([rng.choice([*column, np.nan, np.inf, -np.inf, 0.0], 300) for column in hard], axis=1)
    asked = np.concatenate([matrix, asked.astype(np.float32)])
    near = narrowed(booster)
    assert np.array_equal(booster.predict(asked, pred_leaf=True), near.predict(asked, pred_leaf=True))
    scores = booster.predict(asked)
    assert np.array_equal(scores, near.predict(asked))
    graph = MatrixScorer(convert(booster, matrix.shape[1]), ScoreOutput("probabilities", 1), columns=matrix.shape[1])
    assert np.abs(graph.score(asked) - scores).max() < 1e-6


def test_infinite_inputs_have_a_baseline(opened: TrainingSet, models: Path, tmp_path: Path):
    folder = Path(shutil.copytree(opened.folder, tmp_path / "set"))
    table = pq.read_table(folder / "data.parquet")
    age = table.column("planes__age").to_pylist()
    age[:900:3] = [float("inf")] * 300
    place = table.column_names.index("planes__age")
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(age, field.type)), folder / "data.parquet")
    mine = TrainingSet(folder)
    train.run(mine, learnable_project.LABEL_COLUMN, learnable_project.SPLIT, learnable_project.learner(5))
    found = baseline.read(published(mine, models).folder, "late", "1.0.0")
    assert max(np.float32(age) for age in found.inputs["age"].counts) == np.finfo(np.float32).max


@pytest.mark.parametrize("file", FILES)
def test_what_the_disk_holds_is_opened_before_anybody_sees_it(
    opened: TrainingSet, models: Path, monkeypatch, file: str
):
    """A disk that loses the last byte of a file."""
    honest = Path.write_bytes

    def careless(self: Path, content: bytes) -> int:
        return honest(self, content[:-1] if self.name == file else content)

    monkeypatch.setattr(Path, "write_bytes", careless)
    with pytest.raises(InvalidBundle, match=file):
        published(opened, models)
    assert list((models / "late").iterdir()) == []
