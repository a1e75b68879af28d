"""The model: LightGBM of 100 trees of 31 leaves over the 45 numbers, trained and published as any other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skewless.contract.model import bundle as files
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.transforms import reference
from skewless.contract.timestamps import to_micros
from skewless.model.publishing import publish
from skewless.model.publishing.publish import VersionPlace
from skewless.model.training import train
from skewless.model.training.training_set import DATA, PLAN, TrainingSet
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.project.learner import LightGbm
from skewless.project.model import LabelColumn
from skewless.project.windows import TimeSplit
from tests.bench.online import workload
from tests.bench.online.workload import KEY, MODEL, USED, Workload

TREES, LEAVES = 100, 31
_ROWS = 20_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_SPLIT = TimeSplit(_START, _START + timedelta(days=20), _START + timedelta(days=25), _START + timedelta(days=30))
_PARAMETERS = {"objective": "binary", "learning_rate": 0.05, "num_leaves": LEAVES, "num_threads": 2}


def publish_bundle(models: Path, training: Path, work: Workload) -> Path:
    """Train on some of the stored entities and publish `models/bench/1.0.0`; its folder."""
    rows = min(_ROWS, len(work.event))
    table = {
        TIMESTAMP: pa.array(np.linspace(to_micros(_START), to_micros(_SPLIT.end) - 1, rows).astype(np.int64)).cast(
            pa.timestamp("us", tz="UTC")
        ),
        KEY: pa.array(np.arange(rows)),
        "label": pa.array(_label(work.matrix()[:rows])),
    }
    table |= {reference(source): work.columns[source.view][source.name].slice(0, rows) for source in USED}
    training.mkdir(parents=True)
    pq.write_table(pa.table(table), training / DATA)
    (training / PLAN).write_bytes(workload.PLAN.to_json())
    opened = TrainingSet(training)
    train.run(opened, LabelColumn("label"), _SPLIT, LightGbm(**_PARAMETERS, num_iterations=TREES))
    shape = _shape(train.load_model(training)[0])
    assert shape == (TREES, LEAVES), f"the model came out with {shape[0]} trees of up to {shape[1]} leaves"
    return publish.run(opened, VersionPlace(models, MODEL), created_at=_START).folder


def offline_scorer(bundle: Path) -> MatrixScorer:
    """Scores a matrix as the offline steps do."""
    return MatrixScorer((bundle / files.MODEL).read_bytes(), ScoreOutput("probabilities", 1), columns=len(USED))


def _label(matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Depends on one feature of each view, with their scales evened out, and on chance."""
    known = np.nan_to_num(matrix.astype(np.float64))
    even = (known - known.mean(axis=0)) / known.std(axis=0)
    signal = even[:, ::4] @ np.linspace(-1, 1, even[:, ::4].shape[1]) + np.abs(even[:, 1::9]).sum(axis=1)
    noisy = signal + np.random.default_rng(22).normal(size=len(matrix))
    label: NDArray[np.bool_] = noisy > np.median(noisy)
    return label


def _shape(booster: lgb.Booster) -> tuple[int, int]:
    trees = booster.dump_model()["tree_info"]
    return len(trees), max(tree["num_leaves"] for tree in trees)
