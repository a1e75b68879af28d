"""Publishes a model as a bundle that proves itself: one that was trained here, or a ready ONNX graph.

Golden rows are scored singly, in batches of up to 1,000 rows, in other places and by several threads, and must agree to
the bit; the bundle is opened as a server would open it before it takes its place. A published version never changes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import lightgbm as lgb
import msgspec
import numpy as np
import pyarrow.compute as pc

from skewless.contract.errors import InvalidBundle
from skewless.contract.model import bundle as files
from skewless.contract.model.bundle import Bundle
from skewless.contract.model.manifest import MANIFEST, Manifest
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.tree_leaves import LEAVES
from skewless.contract.rollout.rollout import promote as promote_step
from skewless.contract.timestamps import MICROSECOND
from skewless.files.durable import new_folder
from skewless.model.publishing import golden_rows, onnx_import
from skewless.model.publishing.bundle_draft import BundleDraft, Window, contents, explained, manifest, proven
from skewless.model.publishing.graph_optimisation import NONE, GraphChanges, changed
from skewless.model.publishing.lightgbm_export import convert, rows_at_leaves
from skewless.model.publishing.onnx_import import ImportedModel, ImportOptions
from skewless.model.publishing.optimisation_report import measured
from skewless.model.publishing.tree_ensemble import NotExplainable
from skewless.model.publishing.versions import following, is_version, newest
from skewless.model.training.model_metrics import CalibrationBin, calibration
from skewless.model.training.train import TrainingRun, evaluate, load_model
from skewless.model.training.training_set import TrainingSet, labelled
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import AlreadyPublished, SpineMismatch

_CONVERSION_BOUND = 1e-5
_ALL = ImportOptions()


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """Where a bundle is, what it says of itself, and whether this call made it.

    `conversion_gap` is the greatest difference between LightGBM's own scores and the ONNX model's on the test window;
    `unexplained` is why the model tells no contributions, empty where it does.
    """

    folder: Path
    manifest: Manifest
    made: bool
    conversion_gap: float = 0.0
    unexplained: str = ""


class VersionPlace(NamedTuple):
    """Where a version goes: the folder of all models, its name and version (None: the next), and whether servers are to
    answer with it.
    """

    models: Path
    name: str
    version: str | None = None
    promote: bool = True


def run(
    training_set: TrainingSet,
    models: Path,
    name: str,
    *,
    created_at: datetime,
    version: str | None = None,
    promote: bool = True,
    changes: GraphChanges = NONE,
) -> PublishedBundle:
    """Publish the model that was trained on a training set: see `publish`. Raises: as it, and NotTrained."""
    booster, training = load_model(training_set.folder)
    graph, origin = changed(convert(booster, len(training_set.plan.columns)), changes)
    scorer = MatrixScorer(graph, ScoreOutput("probabilities", 1), columns=len(training_set.plan.columns))
    metrics, gap, bins = _check_conversion(booster, scorer, training_set, training)
    start, validate, test, end = map(
        datetime.fromisoformat, (training.start, training.validate, training.test, training.end)
    )
    read = ImportedModel(ScoreOutput("probabilities", 1), None)
    draft = BundleDraft(training_set, graph, read, (start, validate), (test, end), training.rows, metrics, bins, origin)
    draft = replace(draft, of_leaves=rows_at_leaves(booster))
    return replace(publish(draft, VersionPlace(models, name, version, promote), created_at), conversion_gap=gap)


def run_onnx(
    graph: bytes,
    training_set: TrainingSet,
    place: VersionPlace,
    *,
    created_at: datetime,
    asked: ImportOptions = _ALL,
    changes: GraphChanges = NONE,
) -> PublishedBundle:
    """Publish a ready ONNX graph on the features of a training set, whose rows give its golden rows and baseline.

    `asked`: see `onnx_model.read`. Raises: as `publish`, and ModelMismatch, InvalidPlan, SpineMismatch.
    """
    window, rows = _whole(training_set)
    values = training_set.values(golden_rows.chosen(training_set.between(*window)))
    made, origin = changed(graph, changes)
    read = onnx_import.read(
        made, training_set.plan, asked, lambda signature: signature.assemble(training_set.assembler, values)
    )
    draft = BundleDraft(training_set, made, read, window, window, rows, {}, origin=origin)
    return publish(draft, place, created_at)


def publish(draft: BundleDraft, place: VersionPlace, created_at: datetime) -> PublishedBundle:
    """Publish under `models/name/version`, and make it the champion unless told not to.

    Without `version` it is the next minor version; where the newest version already is this model under this contract
    nothing is made. Raises: AlreadyPublished, InvalidBundle where the golden rows do not agree, TooDifferent where
    changes of the graph moved a score too far; then nothing is published.
    """
    models, name, version, promote = place
    draft = explained(draft)
    why = str(draft.leaves) if isinstance(draft.leaves, NotExplainable) else ""
    last = newest(models / name)
    if version is None and last and (same := _same(models / name / last, draft)):
        if promote:
            champion(models, name, last, created_at)
        return PublishedBundle(models / name / last, same.manifest, made=False, unexplained=why)
    version = following(last) if version is None else version
    if not is_version(version):
        raise InvalidBundle(str(models / name / version), f"{version!r} is not a version like 1.2.0")
    folder = models / name / version
    if folder.exists():
        raise AlreadyPublished(name, version)
    one, proof = proven(draft)
    draft = _compared(draft, one)
    found = contents(draft, proof, name, version, created_at)
    said = manifest(draft, found, name, version, created_at).sealed()
    try:
        with new_folder(folder) as building:
            for file, content in found.items():
                (building / file).write_bytes(content)
            (building / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(said)))
            open_bundle(building, said.processor)
    except FileExistsError as error:
        raise AlreadyPublished(name, version) from error
    if promote:
        champion(models, name, version, created_at)
    return PublishedBundle(folder, said, made=True, unexplained=why)


def _compared(asked: BundleDraft, one: BundleDraft) -> BundleDraft:
    """A proven draft with what the changes of its graph won, where there were any. Raises: TooDifferent."""
    if asked.origin is None:
        return one
    original, _ = proven(replace(asked, graph=asked.origin.graph))
    return replace(one, optimised=measured(original, one, asked.origin.changes))


def champion(models: Path, name: str, version: str, at: datetime) -> None:
    """Make `version` the one that servers answer with; they take it up within seconds."""
    ModelRegistry(models, models).change(name, promote_step(version), by="skewless publish", at=at, reason="published")


def _whole(training_set: TrainingSet) -> tuple[Window, int]:
    """The window of all rows of a training set, and how many they are. Raises: SpineMismatch where there are none."""
    times = training_set.times()
    if not len(times):
        raise SpineMismatch(TIMESTAMP, "has no value: the training set is empty, and golden rows are taken from it")
    first, last = pc.min_max(times).as_py().values()
    return (first, last + MICROSECOND), len(times)


def _check_conversion(
    booster: lgb.Booster, scorer: MatrixScorer, training_set: TrainingSet, training: TrainingRun
) -> tuple[dict[str, float], float, tuple[CalibrationBin, ...]]:
    """Metrics of the ONNX model on the test window, its greatest gap to LightGBM, and how it is calibrated there.

    Raises: InvalidBundle.
    """
    window = datetime.fromisoformat(training.test), datetime.fromisoformat(training.end)
    test, labels = labelled(training_set.between(*window), training.label)
    matrix = training_set.matrix(test)
    scores = scorer.score(matrix)
    gap = float(np.abs(np.asarray(booster.predict(matrix)) - scores).max(initial=0.0))
    if gap > _CONVERSION_BOUND:
        raise InvalidBundle("model.onnx", f"its scores are {gap:.2g} off LightGBM's, more than {_CONVERSION_BOUND:.0e}")
    return evaluate(labels, scores), gap, calibration(labels, scores)


def _same(folder: Path, draft: BundleDraft) -> Bundle | None:
    """The bundle in `folder`, if it is sound and is this model under this contract."""
    try:
        found = open_bundle(folder, processor_features())
    except InvalidBundle:
        return None
    same_model = found.manifest.digests[files.MODEL] == hashlib.sha256(draft.graph).hexdigest()
    mine, theirs = draft.read.signature, found.manifest.signature
    if theirs is not None and (named := mine or draft.read.otherwise) is not None:
        mine = msgspec.structs.replace(named, rows_a_run=theirs.rows_a_run)
    same_read = (draft.read.output, mine) == (found.manifest.output, theirs)
    same_contract = found.plan.fingerprint == draft.training_set.plan.fingerprint
    optimised, origin = found.manifest.optimised, draft.origin
    near = optimised is None or origin is None or optimised.difference <= origin.changes.bound
    same_leaves = (LEAVES in found.manifest.digests) == isinstance(draft.leaves, bytes)
    return found if same_model and same_read and same_contract and same_leaves and near else None
