"""Retraining: the candidate is published beside the champion, and is tried only where it is better with confidence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import publish, train, training_set
from pipelines.contest import contest
from pipelines.errors import NotTrained
from pipelines.history import TIMESTAMP
from pipelines.outcomes import Outcomes
from pipelines.reports.retrain import page
from pipelines.retrain import Asked, Project, Retrained, run, verdict
from pipelines.rollout import Signature, champion_version, make_champion
from pipelines.train import Split
from pipelines.training_set import TrainingSet
from serving.contract.bundle import open_bundle
from serving.contract.folders import Folders
from serving.contract.form import MODEL_INPUT, SCORE
from serving.contract.processor import processor_features
from serving.contract.record import served_schema
from serving.contract.registry import Registry
from tests.pipelines import learned
from tests.pipelines.reports.test_page import Page
from tests.pipelines.served import NOON
from tests.pipelines.worlds import sources

EARLY = Split(learned.START, *(learned.START + timedelta(days=days) for days in (2, 4, 8)))
"""So short that its model knows little."""


class World:
    """A project with a champion that was trained on `split`."""

    def __init__(self, root: Path, split: Split) -> None:
        self.folders, self.data = Folders(root), root / "data"
        learned.write_tables(self.data)
        pq.write_table(learned.spine(), root / "spine.parquet")
        self.definitions = learned.definitions(self.data)
        self.project = Project(self.folders, self.registry, self.definitions, lambda plan: sources(self.data, plan))
        training_set.run(self.definitions, learned.spine(), self.folders.training / "first")
        opened = TrainingSet(self.folders.training / "first")
        train.run(opened, learned.LABEL, split, learned.PARAMETERS, rounds=60)
        publish.run(opened, self.folders.models, "learned", created_at=NOON)
        self.asked = Asked(
            "learned",
            root / "spine.parquet",
            learned.LABEL,
            learned.SPLIT,
            {**learned.PARAMETERS, "learning_rate": 0.1},
        )

    def retrain(self, *, canary: float | None = None, **changes) -> Retrained:
        asked = Asked(**({name: getattr(self.asked, name) for name in Asked.__slots__} | changes))
        return run(self.project, asked, created_at=NOON, canary=canary)

    @property
    def champion(self) -> str:
        return champion_version(Registry(self.folders.models, self.folders.models), "learned")

    def serve(self) -> pa.Table:
        """The served log of the champion over the test window, as a server writes it, with what came to pass."""
        bundle = open_bundle(self.folders.models / "learned" / self.champion, processor_features())
        rows, labels = training_set.labelled(
            training_set.read_spine(self.asked.spine, learned.SPLIT.test, learned.SPLIT.end), learned.LABEL
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
    assert (found.champion, found.candidate, found.better, found.on_trial) == ("1.0.0", "1.1.0", True, False)
    assert weak.champion == "1.0.0"
    assert found.held_out
    assert found.held_out.low > 0
    assert found.live is None
    assert "is better (champion 1.0.0)" in str(found)
    outcomes = weak.serve()
    Outcomes(weak.folders.served, "learned").add(outcomes, NOON)
    live = weak.retrain()
    assert live.live
    assert live.live.champion.rows == len(outcomes)
    assert live.live.gain == pytest.approx(found.held_out.gain), "the same rows, by another way"
    shown = Page(page(live, NOON))
    assert shown.loads == []
    for words in ("Better", "Held-out rows", "Live outcomes", "gain in logloss", "against the champion 1.0.0"):
        assert words in shown.text
    promoted = weak.retrain(canary=0.25)
    assert (promoted.on_trial, promoted.candidate, weak.champion) == (True, "1.1.0", "1.0.0")
    assert "1.1.0 is a canary (champion 1.0.0)" in str(promoted)
    registry = Registry(weak.folders.models, weak.folders.models)
    rollout = registry.rollout("learned")
    assert rollout
    assert rollout.canary
    assert (rollout.canary.version, rollout.canary.weight) == ("1.1.0", 0.25)
    assert registry.history("learned")[-1].change.by == "skewless retrain"
    make_champion(registry, "learned", "1.1.0", Signature("somebody", NOON, "it did well"))
    again = weak.retrain(canary=0.25)
    assert (again.better, again.candidate) == (False, "1.1.0")
    assert "it is the champion itself" in again.reason


def test_a_candidate_that_is_not_better_by_the_margin_is_refused(tmp_path: Path):
    world = World(tmp_path, learned.SPLIT)
    found = world.retrain(canary=0.25, split=EARLY, parameters={**learned.PARAMETERS, "learning_rate": 1.0})
    assert (found.better, found.on_trial, world.champion) == (False, False, "1.0.0")
    assert "stays a candidate" in str(found)
    assert (world.folders.models / "learned" / found.candidate).is_dir()
    far = world.retrain(canary=0.25, margin=5.0)
    assert far.reason == "its gain on the held-out rows is not more than 5 with confidence"


def test_outcomes_that_say_worse_with_confidence_refuse():
    labels, scores = np.array([0.0, 1.0] * 30), np.full(60, 0.5, np.float32)
    some = contest("rows", labels, scores, scores, np.arange(60), confidence=0.95)
    assert some
    good = msgspec.structs.replace(some, low=0.01, high=0.02)
    assert verdict(good, None, 0.0)[0]
    assert verdict(good, msgspec.structs.replace(some, low=-0.02, high=0.01), 0.0)[0]
    assert verdict(good, msgspec.structs.replace(some, low=-0.02, high=-0.01), 0.0)[1].startswith("it would have been")
    assert not verdict(good, None, 0.01)[0]
    assert not verdict(None, None, 0.0)[0]


def test_without_a_champion_there_is_nothing_to_compare_with(weak: World):
    with pytest.raises(NotTrained, match="skewless publish"):
        weak.retrain(model="unknown")
