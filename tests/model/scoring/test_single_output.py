"""Which models tell one score a row, and what is refused before anything is written where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
import pytest

from skewless.contract.model.bundle import Bundle
from skewless.model.conversion.onnx_import import ImportOptions
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.scoring.single_output import (
    NanScores,
    NoSingleScore,
    TrainedElsewhere,
    require_matrix,
    single_score,
)
from skewless.model.training.training_set import TrainingSet
from skewless.monitoring.audit import what_if
from skewless.offline.join.refresh_schedule import RefreshSchedule
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import estimators, learnable_project
from tests.models.networks import NETWORK
from tests.monitoring.served_project import NOON
from tests.tables.histories import sources


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("one-score")
    learnable_project.write_tables(root / "data")
    estimators.joined(root / "texts", root / "data")
    return root


def published(world: Path, name: str, graph: bytes, asked: ImportOptions) -> Bundle:
    place = VersionPlace(world / "models", name)
    done = publish.run_onnx(graph, TrainingSet(world / "texts"), place, created_at=NOON, options=asked)
    return open_bundle(done.folder, processor_features())


def test_two_classes_are_scored_by_the_second_and_one_number_by_itself(world: Path):
    opened = TrainingSet(world / "texts")
    values = opened.values(pq.read_table(world / "texts" / "data.parquet"))
    graph = estimators.pipeline(opened, classes=2, filled=True)
    bundle = published(world, "two", graph, ImportOptions())
    told = bundle.score(bundle.inputs(values)).arrays["probabilities"]
    assert single_score(bundle)(values).tobytes() == told[:, 1].tobytes()
    worn = published(world, "worn", estimators.network(), ImportOptions(NETWORK.inputs, ("worn",)))
    expected = worn.score(worn.inputs(values)).arrays["worn"]
    assert single_score(worn)(values).tobytes() == expected.tobytes()
    session = ort.InferenceSession(graph)
    assert [node.name for node in session.get_outputs()] == ["label", "probabilities"]


def test_what_if_takes_a_typed_model_of_one_score(world: Path):
    opened = TrainingSet(world / "texts")
    bundle = published(world, "two", estimators.pipeline(opened, classes=2, filled=True), ImportOptions())
    window = (learnable_project.SPLIT.test, learnable_project.SPLIT.end)
    schedules = [RefreshSchedule.parse("every=6h"), RefreshSchedule.parse("every=1d")]
    views = sources(world / "data", bundle.plan)
    found = what_if.run(bundle, views, learnable_project.spine(), learnable_project.LABEL, window, schedules)
    assert [one.every for one in found.refreshed] == ["6h", "1d"]
    assert min(one.score_shift for one in found.refreshed) > 0


def test_what_has_no_single_score_is_told_what_it_tells(world: Path):
    bundle = published(world, "network", estimators.network(), NETWORK)
    with pytest.raises(NoSingleScore, match=r"gives score:shares \(3 x float32\), score:worn \(1 x float64\) for each"):
        single_score(bundle)
    with pytest.raises(TrainedElsewhere, match="`skewless retrain` trains LightGBM"):
        require_matrix(bundle, "retrain")


def test_scores_that_are_no_numbers_are_refused(world: Path):
    opened = TrainingSet(world / "texts")
    bundle = published(world, "gaps", estimators.pipeline(opened, classes=2), ImportOptions())
    with pytest.raises(NanScores, match=r"gaps 1.0.0 scores [0-9]+ of these rows as NaN"):
        single_score(bundle)(opened.values(pq.read_table(world / "texts" / "data.parquet")))


def test_only_numbers_are_scores(world: Path):
    opened = TrainingSet(world / "texts")
    bundle = published(world, "labels", estimators.pipeline(opened), ImportOptions(outputs=("label",)))
    assert np.asarray(bundle.score(bundle.signature.zeros(1)).arrays["label"]).dtype == object
    with pytest.raises(NoSingleScore, match="1 x string"):
        single_score(bundle)
