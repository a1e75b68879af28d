"""Publishes a model as a bundle that proves itself: a model that was trained here, or a ready ONNX graph.

Golden rows are scored singly, in batches of up to 1,000 rows, at other positions and by several threads, and all scores
must be equal to the bit. The bundle is opened as a server opens it before it is published. A published version never
changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
from skewless.model.conversion import onnx_import
from skewless.model.conversion.lightgbm_export import convert, leaf_counts
from skewless.model.conversion.onnx_import import ImportedModel, ImportOptions
from skewless.model.publishing import golden_rows
from skewless.model.publishing.bundle_draft import BundleDraft, Window, contents, manifest, prove_draft, with_leaves
from skewless.model.publishing.graph_optimisation import NO_CHANGES, GraphChanges, change_graph
from skewless.model.publishing.optimisation_report import measure_changes
from skewless.model.publishing.tree_ensemble import NotExplainable
from skewless.model.publishing.versions import is_version, newest_of, newest_version, next_version
from skewless.model.training.labels import known_labels
from skewless.model.training.learned_model import graph_scores
from skewless.model.training.model_metrics import CalibrationBin, calibration
from skewless.model.training.train import GRAPH, TrainingRun, evaluate, load_model, load_report
from skewless.model.training.training_rows import window_rows
from skewless.model.training.training_set import TrainingSet
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.project.learner import LIGHTGBM
from skewless.project.windows import TimeSplit
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import AlreadyPublished, SpineMismatch

_CONVERSION_BOUND = 1e-5
_ALL = ImportOptions()


@dataclass(frozen=True, slots=True)
class PublishedBundle:
    """A bundle's folder and manifest, and whether this call created it.

    `conversion_gap` is the greatest difference between LightGBM's own scores and the ONNX model's on the test window;
    `unexplained` is why the model gives no contributions, empty where it does.
    """

    folder: Path
    manifest: Manifest
    created: bool
    conversion_gap: float = 0.0
    unexplained: str = ""


class VersionPlace(NamedTuple):
    """Where a version is published: the folder of all models, its name and version (None: the next minor version), whether
    to promote it to champion, and the versions that were `deleted`, whose numbers stay taken.
    """

    models: Path
    name: str
    version: str | None = None
    promote: bool = True
    deleted: Sequence[str] = ()


def run(
    training_set: TrainingSet, place: VersionPlace, *, created_at: datetime, changes: GraphChanges = NO_CHANGES
) -> PublishedBundle:
    """Publish the model that was trained on a training set; see `publish`. Raises: as `publish`, and StepInputMissing."""
    if (report := load_report(training_set.folder)).learner != LIGHTGBM:
        return _run_learned(training_set, report, place, created_at, changes)
    booster, training = load_model(training_set.folder)
    graph, original = change_graph(convert(booster, len(training_set.plan.columns)), changes)
    scorer = MatrixScorer(graph, ScoreOutput("probabilities", 1), columns=len(training_set.plan.columns))
    metrics, gap, bins = _check_conversion(booster, scorer, training_set, training)
    imported, windows = ImportedModel(ScoreOutput("probabilities", 1), None), _windows(training)
    draft = BundleDraft(training_set, graph, imported, *windows, training.rows, metrics, bins, original)
    draft = replace(draft, leaf_counts=leaf_counts(booster))
    return replace(publish(draft, place, created_at), conversion_gap=gap)


def _run_learned(
    training_set: TrainingSet, training: TrainingRun, place: VersionPlace, created_at: datetime, changes: GraphChanges
) -> PublishedBundle:
    """Publish the graph that a project's own function trained."""
    graph, original = change_graph((training_set.folder / GRAPH).read_bytes(), changes)
    fitted, tested = _windows(training)
    values = training_set.values(golden_rows.sample_rows(training_set.between(*fitted)))
    imported = onnx_import.read(
        graph, training_set.plan, _ALL, lambda signature: signature.assemble(training_set.assembler, values)
    )
    split = TimeSplit(*map(datetime.fromisoformat, (training.start, training.validate, training.test, training.end)))
    test = window_rows(training_set, training.label, split)["test"]
    scores = graph_scores(graph, training_set, test, training.learner)
    metrics, bins = evaluate(test.labels, scores), calibration(test.labels, scores)
    draft = BundleDraft(training_set, graph, imported, fitted, tested, training.rows, metrics, bins, original)
    return replace(publish(draft, place, created_at), conversion_gap=training.gap)


def _windows(training: TrainingRun) -> tuple[Window, Window]:
    """The windows of training and of test."""
    start, validate, test, end = map(
        datetime.fromisoformat, (training.start, training.validate, training.test, training.end)
    )
    return (start, validate), (test, end)


def run_onnx(
    graph: bytes,
    training_set: TrainingSet,
    place: VersionPlace,
    *,
    created_at: datetime,
    options: ImportOptions = _ALL,
    changes: GraphChanges = NO_CHANGES,
) -> PublishedBundle:
    """Publish a ready ONNX graph on the features of a training set, whose rows give its golden rows and baseline.

    `options`: see `onnx_import.read`. Raises: as `publish`, and ModelMismatch, InvalidPlan, SpineMismatch.
    """
    window, rows = _full_window(training_set)
    values = training_set.values(golden_rows.sample_rows(training_set.between(*window)))
    changed, original = change_graph(graph, changes)
    imported = onnx_import.read(
        changed, training_set.plan, options, lambda signature: signature.assemble(training_set.assembler, values)
    )
    draft = BundleDraft(training_set, changed, imported, window, window, rows, {}, original=original)
    return publish(draft, place, created_at)


def publish(draft: BundleDraft, place: VersionPlace, created_at: datetime) -> PublishedBundle:
    """Publish under `models/name/version`, and promote it to champion if `place.promote`.

    Without `version` it gets the next minor version; where the newest version is this model under this contract already,
    nothing is created. Raises: AlreadyPublished, InvalidBundle where the golden rows do not agree, ScoreGapTooLarge where
    changes of the graph moved a score too far; then nothing is published.
    """
    models, name, version, promote, deleted = place
    draft = with_leaves(draft)
    unexplained = str(draft.leaves) if isinstance(draft.leaves, NotExplainable) else ""
    last = newest_version(models / name)
    if version is None and last and (same := _same(models / name / last, draft)):
        if promote:
            promote_version(models, name, last, created_at)
        return PublishedBundle(models / name / last, same.manifest, created=False, unexplained=unexplained)
    version = next_version(newest_of([*([last] if last else []), *deleted])) if version is None else version
    if not is_version(version):
        raise InvalidBundle(str(models / name / version), f"{version!r} is not a version like 1.2.0")
    folder = models / name / version
    if folder.exists() or version in deleted:
        raise AlreadyPublished(name, version)
    proven, proof = prove_draft(draft)
    draft = _with_optimisation_record(draft, proven)
    content_by_name = contents(draft, proof, name, version, created_at)
    sealed = manifest(draft, content_by_name, name, version, created_at).sealed()
    try:
        with new_folder(folder) as building:
            for file, content in content_by_name.items():
                (building / file).write_bytes(content)
            (building / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(sealed)))
            open_bundle(building, sealed.processor)
    except FileExistsError as error:
        raise AlreadyPublished(name, version) from error
    if promote:
        promote_version(models, name, version, created_at)
    return PublishedBundle(folder, sealed, created=True, unexplained=unexplained)


def _with_optimisation_record(draft: BundleDraft, proven: BundleDraft) -> BundleDraft:
    """The `proven` draft with the gains of its graph's changes, where there were any. Raises: ScoreGapTooLarge."""
    if draft.original is None:
        return proven
    original, _ = prove_draft(replace(draft, graph=draft.original.graph))
    return replace(proven, optimised=measure_changes(original, proven, draft.original.changes))


def promote_version(models: Path, name: str, version: str, at: datetime) -> None:
    """Make `version` the champion; servers load it within seconds."""
    ModelRegistry(models, models).change(name, promote_step(version), by="skewless publish", at=at, reason="published")


def _full_window(training_set: TrainingSet) -> tuple[Window, int]:
    """The window of all rows of a training set, and their number. Raises: SpineMismatch where there are none."""
    times = training_set.times()
    if not len(times):
        raise SpineMismatch(TIMESTAMP, "has no value: the training set is empty, and golden rows are taken from it")
    first, last = pc.min_max(times).as_py().values()
    return (first, last + MICROSECOND), len(times)


def _check_conversion(
    booster: lgb.Booster, scorer: MatrixScorer, training_set: TrainingSet, training: TrainingRun
) -> tuple[dict[str, float], float, tuple[CalibrationBin, ...]]:
    """The ONNX model's metrics on the test window, its greatest score difference from LightGBM, and its calibration there.

    Raises: InvalidBundle.
    """
    window = datetime.fromisoformat(training.test), datetime.fromisoformat(training.end)
    test, labels = known_labels(training_set.between(*window), training.label, window[1])
    matrix = training_set.matrix(test)
    scores = scorer.score(matrix)
    gap = float(np.abs(np.asarray(booster.predict(matrix)) - scores).max(initial=0.0))
    if gap > _CONVERSION_BOUND:
        raise InvalidBundle("model.onnx", f"its scores are {gap:.2g} off LightGBM's, more than {_CONVERSION_BOUND:.0e}")
    return evaluate(labels, scores), gap, calibration(labels, scores)


def _same(folder: Path, draft: BundleDraft) -> Bundle | None:
    """The bundle in `folder`, if it is valid and is the draft's model under the same contract; else None."""
    try:
        published = open_bundle(folder, processor_features())
    except InvalidBundle:
        return None
    same_model = published.manifest.digests[files.MODEL] == hashlib.sha256(draft.graph).hexdigest()
    expected, stored = draft.imported.signature, published.manifest.signature
    if stored is not None and (candidate := expected or draft.imported.fallback) is not None:
        expected = msgspec.structs.replace(candidate, rows_a_run=stored.rows_a_run)
    same_signature = (draft.imported.output, expected) == (published.manifest.output, stored)
    same_contract = published.plan.fingerprint == draft.training_set.plan.fingerprint
    optimised, original = published.manifest.optimised, draft.original
    near = optimised is None or original is None or optimised.difference <= original.changes.bound
    same_leaves = (LEAVES in published.manifest.digests) == isinstance(draft.leaves, bytes)
    return published if same_model and same_signature and same_contract and same_leaves and near else None
