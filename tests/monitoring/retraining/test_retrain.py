"""Retraining: the candidate is published beside the champion, and is tried only where it is better with confidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skewless.contract.errors import InvalidPlan, RolloutRefused
from skewless.contract.model.signature import MODEL_INPUT, SCORE
from skewless.contract.plan import Field
from skewless.contract.state_folder import StateFolders
from skewless.contract.storage.served_row import served_schema
from skewless.definitions.compiler import CompiledService
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.publishing.rollout_steps import ChangeAuthor, champion_version, make_champion
from skewless.model.scoring.single_output import TrainedElsewhere
from skewless.model.training import train, training_set
from skewless.model.training.labels import labelled
from skewless.model.training.training_set import TrainingSet
from skewless.monitoring.reports.retraining_page import page
from skewless.monitoring.retraining.champion_challenger import compare_scores
from skewless.monitoring.retraining.retrain import (
    RetrainOptions,
    RetrainProject,
    RetrainResult,
    run,
    start_canary,
    verdict,
)
from skewless.monitoring.served_log.ground_truth import GroundTruth
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.project.learner import LightGbm, TrainingData
from skewless.project.model import LabelColumn, PromotionRule
from skewless.project.windows import TimeSplit
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import StepInputMissing
from tests.models import estimators, learnable_project
from tests.monitoring.reports.html_page import Page
from tests.monitoring.retraining.training_days import EARLY
from tests.monitoring.served_project import NOON
from tests.services.s3 import BUCKET, S3, s3, s3_server
from tests.tables.histories import sources

__all__ = ["s3", "s3_server"]


class World:
    """A project with a champion that was trained on `split`."""

    def __init__(self, root: Path, split: TimeSplit) -> None:
        self.folders, self.data = StateFolders(root), root / "data"
        learnable_project.write_tables(self.data)
        pq.write_table(learnable_project.spine(), root / "spine.parquet")
        self.definitions = learnable_project.definitions(self.data)
        self.registry = ModelRegistry(self.folders.models, self.folders.models)
        self.project = RetrainProject(
            self.folders, self.registry, self.definitions, lambda plan: sources(self.data, plan)
        )
        training_set.run(self.definitions, learnable_project.spine(), self.folders.training / "first")
        opened = TrainingSet(self.folders.training / "first")
        train.run(opened, learnable_project.LABEL_COLUMN, split, learnable_project.learner(60))
        publish.run(opened, VersionPlace(self.folders.models, "learned"), created_at=NOON)
        self.asked = RetrainOptions(
            "learned",
            root / "spine.parquet",
            learnable_project.LABEL_COLUMN,
            learnable_project.SPLIT,
            LightGbm(**learnable_project.PARAMETERS | {"learning_rate": 0.1}),
        )

    def retrain(self, *, canary: float | None = None, **changes) -> RetrainResult:
        asked = RetrainOptions(**({name: getattr(self.asked, name) for name in RetrainOptions.__slots__} | changes))
        return run(self.project, asked, created_at=NOON, canary=canary)

    @property
    def champion(self) -> str:
        return champion_version(ModelRegistry(self.folders.models, self.folders.models), "learned")

    def serve(self) -> pa.Table:
        """The served log of the champion over the test window, as a server writes it, with what came to pass."""
        bundle = open_bundle(self.folders.models / "learned" / self.champion, processor_features())
        rows, labels = labelled(
            training_set.read_spine(self.asked.spine, learnable_project.SPLIT.test, learnable_project.SPLIT.end),
            learnable_project.LABEL,
        )
        matrix = training_set.matrix_for(self.definitions, rows)
        columns = {"request_id": [f"r{place}" for place in range(len(rows))], "row": [0] * len(rows)}
        columns |= {"served_at": rows.column(TIMESTAMP), "model": ["learned"] * len(rows)}
        columns |= {f"entity:{name}": rows.column(name) for name in ("origin", "tailnum")}
        columns |= {"request:hour": rows.column("hour"), SCORE: bundle.scorer.score(matrix)}
        columns[MODEL_INPUT] = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
        schema = served_schema(bundle.plan)
        filled = [
            pa.chunked_array([columns[f.name]]).cast(f.type)
            if f.name in columns and not isinstance(columns[f.name], pa.ChunkedArray)
            else columns.get(f.name, pa.nulls(len(rows), f.type))
            for f in schema
        ]
        folder = self.folders.served / "model=learned" / f"version={self.champion}" / "day=2013-03-23"
        folder.mkdir(parents=True)
        pq.write_table(pa.table(filled, names=schema.names), folder / "part.parquet")
        return pa.table(
            {"request_id": columns["request_id"], "row": pa.array(columns["row"], pa.int32()), "label": labels}
        )


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("weak"), EARLY)


def test_a_better_candidate_waits_and_is_then_a_canary(weak: World):
    found = weak.retrain()
    assert (found.champion, found.candidate, found.better, found.is_canary) == ("1.0.0", "1.1.0", True, False)
    assert weak.champion == "1.0.0"
    assert found.held_out
    assert found.held_out.low > 0
    assert found.live is None
    assert "is better (champion 1.0.0)" in str(found)
    outcomes = weak.serve()
    GroundTruth(weak.folders.served, "learned").add(outcomes, NOON)
    live = weak.retrain()
    assert live.live
    assert live.live.champion.rows == len(outcomes)
    assert live.live.gain == pytest.approx(found.held_out.gain), "the same rows, by another way"
    shown = Page(page(live, NOON))
    assert shown.loads == []
    for words in ("Better", "Held-out rows", "Live outcomes", "gain in logloss", "Compared with the champion 1.0.0"):
        assert words in shown.text
    promoted = weak.retrain(canary=0.25)
    assert (promoted.is_canary, promoted.candidate, weak.champion) == (True, "1.1.0", "1.0.0")
    assert "1.1.0 is a canary (champion 1.0.0)" in str(promoted)
    registry = ModelRegistry(weak.folders.models, weak.folders.models)
    rollout = registry.rollout("learned")
    assert rollout
    assert rollout.canary
    assert (rollout.canary.version, rollout.canary.weight) == ("1.1.0", 0.25)
    assert registry.history("learned")[-1].change.by == "skewless retrain"
    make_champion(registry, "learned", "1.1.0", ChangeAuthor("somebody", NOON, "it did well"))
    with pytest.raises(RolloutRefused, match=r"1\.1\.0 was held against 1\.0\.0, and 1\.1\.0 is the champion by now"):
        start_canary(registry, found, 0.25, NOON)
    again = weak.retrain(canary=0.25)
    assert (again.better, again.candidate) == (False, "1.1.0")
    assert "it is the champion itself" in again.reason


def test_a_candidate_that_is_not_better_by_the_margin_is_refused(tmp_path: Path):
    world = World(tmp_path, learnable_project.SPLIT)
    found = world.retrain(
        canary=0.25, split=EARLY, learner=LightGbm(**learnable_project.PARAMETERS | {"learning_rate": 1.0})
    )
    assert (found.better, found.is_canary, world.champion) == (False, False, "1.0.0")
    assert "stays a candidate" in str(found)
    assert (world.folders.models / "learned" / found.candidate).is_dir()
    far = world.retrain(canary=0.25, rule=PromotionRule(margin=5.0))
    assert far.reason == "its gain on the held-out rows is not more than 5 with confidence"


def test_a_function_of_the_project_retrains_and_the_label_of_the_future_takes_no_part(tmp_path: Path):
    """Its candidate is compared with a champion of LightGBM, which knew the same rows."""

    def boosted(data: TrainingData) -> object:
        import xgboost

        assert data.train.table.column(TIMESTAMP).to_pylist()[-1] < learnable_project.SPLIT.validate - timedelta(days=2)
        model = xgboost.XGBClassifier(n_estimators=60, max_depth=4, learning_rate=0.3, n_jobs=1)
        return model.fit(data.train.to_numpy(), data.train.labels)

    world = World(tmp_path, EARLY)
    label = LabelColumn(learnable_project.LABEL, timedelta(days=2))
    found = world.retrain(learner=boosted, label=label, canary=0.25)
    assert (found.candidate, found.better, found.is_canary) == ("1.1.0", True, True), found
    assert found.held_out
    rows = learnable_project.spine().filter(pc.is_valid(pc.field(learnable_project.LABEL)))
    held_out = rows.filter(pc.field(TIMESTAMP) >= pa.scalar(learnable_project.SPLIT.test))
    assert 0 < found.held_out.candidate.rows < len(held_out)


def test_outcomes_that_say_worse_with_confidence_refuse():
    labels, scores = np.array([0.0, 1.0] * 30), np.full(60, 0.5, np.float32)
    some = compare_scores("rows", labels, scores, scores, np.arange(60), confidence=0.95)
    assert some
    good = msgspec.structs.replace(some, low=0.01, high=0.02)
    assert verdict(good, None, 0.0)[0]
    assert verdict(good, msgspec.structs.replace(some, low=-0.02, high=0.01), 0.0)[0]
    assert verdict(good, msgspec.structs.replace(some, low=-0.02, high=-0.01), 0.0)[1].startswith("it would have been")
    assert not verdict(good, None, 0.01)[0]
    assert not verdict(None, None, 0.0)[0]


def written(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_what_cannot_be_compared_or_tried_is_refused_before_anything_is_written(tmp_path: Path):
    world = World(tmp_path, learnable_project.SPLIT)
    known, texts = world.definitions, estimators.definitions(world.data)
    more = msgspec.structs.replace(known.plan, request=(*known.plan.request, Field("x", "Int64")))
    wider = CompiledService(more, known.transforms, known.sources)
    before = written(tmp_path)
    for definitions, canary, error, told in (
        (known, 1.5, RolloutRefused, r"a weight is in \(0, 1\]"),
        (wider, 0.1, RolloutRefused, "takes other requests than the champion"),
        (texts, None, InvalidPlan, "'delays__gate' is a String; models of one matrix take numbers"),
    ):
        world.project = replace(world.project, definitions=definitions)
        with pytest.raises(error, match=told):
            world.retrain(canary=canary)
    assert written(tmp_path) == before
    opened = estimators.joined(tmp_path / "texts", world.data)
    place = VersionPlace(world.folders.models, "learned", "2.0.0")
    publish.run_onnx(estimators.pipeline(opened, classes=2), opened, place, created_at=NOON)
    assert world.champion == "2.0.0"
    before = written(tmp_path)
    world.project = replace(world.project, definitions=known)
    with pytest.raises(TrainedElsewhere, match=r"learned 2.0.0 is a graph with named inputs"):
        world.retrain()
    assert written(tmp_path) == before


def test_candidates_go_to_the_registry_wherever_it_is(tmp_path: Path, s3: S3):
    world = World(tmp_path, EARLY)
    registry = ModelRegistry(f"s3://{BUCKET}/models?endpoint_override={s3.endpoint}", tmp_path / "mirror")
    registry.add("learned", "1.0.0", world.folders.models / "learned" / "1.0.0")
    make_champion(registry, "learned", "1.0.0", ChangeAuthor("somebody", NOON, "first"))
    world.project = replace(world.project, registry=registry)
    found = world.retrain(canary=0.25)
    assert (found.better, found.is_canary) == (True, True)
    assert registry.versions("learned") == ["1.0.0", "1.1.0"]
    assert registry.rollout("learned").canary.version == "1.1.0"
    assert world.registry.rollout("learned").canary is None, "the folder's own rollout is another one"
    assert Page(page(found, NOON)).loads == []


def test_without_a_champion_there_is_nothing_to_compare_with(weak: World):
    with pytest.raises(StepInputMissing, match="skewless publish"):
        weak.retrain(model="unknown")
