"""Publishes a model as a bundle that proves itself: one that was trained here, or a ready ONNX graph.

Golden rows are scored singly, in batches of up to 1,000 rows, in other places and by several threads, and must agree to
the bit; the bundle is opened as a server would open it before it takes its place. A published version never changes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version as installed
from pathlib import Path
from typing import NamedTuple

import lightgbm as lgb
import msgspec
import numpy as np
import pyarrow.compute as pc

from pipelines import golden, onnx_model
from pipelines.baseline import Baseline, describe
from pipelines.errors import AlreadyPublished, SpineMismatch
from pipelines.folder import new_folder
from pipelines.history import TIMESTAMP
from pipelines.lightgbm_model import convert
from pipelines.model_card import importance
from pipelines.onnx_model import Asked, Read
from pipelines.performance import Bin, calibration
from pipelines.reports.card import card_page
from pipelines.train import Training, evaluate, trained
from pipelines.training_set import TrainingSet, labelled
from serving.contract import bundle as files
from serving.contract.bundle import Bundle, Manifest, Model, open_bundle, open_model
from serving.contract.errors import InvalidBundle
from serving.contract.form import Signature
from serving.contract.processor import processor_features
from serving.contract.registry import Registry
from serving.contract.rollout import promote as promote_step
from serving.contract.scorer import Output, Scorer

_TOLERANCE = 1e-6
_CONVERSION_BOUND = 1e-5
_ALL = Asked()
_BLOCKS = (16, 1)
"""Rows a run that are tried, for models whose scores depend on the rows around them."""
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_TOOLS = ("feast", "lightgbm", "ndonnx", "numpy", "onnx", "onnxmltools", "onnxruntime", "pyarrow", "skewless")
Window = tuple[datetime, datetime]
"""start <= event_timestamp < end."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where a bundle is, what it says of itself, and whether this call made it.

    `conversion_gap` is the greatest difference between LightGBM's own scores and the ONNX model's on the test window.
    """

    folder: Path
    manifest: Manifest
    made: bool
    conversion_gap: float = 0.0


class Place(NamedTuple):
    """Where a version goes: the folder of all models, its name and version (None: the next), and whether servers are to
    answer with it.
    """

    models: Path
    name: str
    version: str | None = None
    promote: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be published: a graph read against a training set's plan, the windows of the rows that it was trained
    on (how many they were) and of those whose scores are its baseline, and its metrics.
    """

    training_set: TrainingSet
    graph: bytes
    read: Read
    trained: Window
    scored: Window
    rows: int
    metrics: dict[str, float]
    calibration: Sequence[Bin] = ()

    def open(self) -> Model:
        """Raises: InvalidPlan."""
        return open_model(self.training_set.plan, self.graph, self.read.output, self.read.signature)


def run(
    training_set: TrainingSet,
    models: Path,
    name: str,
    *,
    created_at: datetime,
    version: str | None = None,
    promote: bool = True,
) -> Published:
    """Publish the model that was trained on a training set: see `publish`. Raises: as it, and NotTrained."""
    booster, training = trained(training_set.folder)
    graph = convert(booster, len(training_set.plan.columns))
    scorer = Scorer(graph, Output("probabilities", 1), columns=len(training_set.plan.columns))
    metrics, gap, bins = _check_conversion(booster, scorer, training_set, training)
    start, validate, test, end = map(
        datetime.fromisoformat, (training.start, training.validate, training.test, training.end)
    )
    read = Read(Output("probabilities", 1), None)
    draft = Draft(training_set, graph, read, (start, validate), (test, end), training.rows, metrics, bins)
    return replace(publish(draft, Place(models, name, version, promote), created_at), conversion_gap=gap)


def run_onnx(
    graph: bytes, training_set: TrainingSet, place: Place, *, created_at: datetime, asked: Asked = _ALL
) -> Published:
    """Publish a ready ONNX graph on the features of a training set, whose rows give its golden rows and baseline.

    `asked`: see `onnx_model.read`. Raises: as `publish`, and ModelMismatch, InvalidPlan, SpineMismatch.
    """
    window, rows = _whole(training_set)
    values = training_set.values(golden.chosen(training_set.between(*window)))
    read = onnx_model.read(graph, training_set.plan, asked, lambda form: form.inputs(training_set.assembler, values))
    return publish(Draft(training_set, graph, read, window, window, rows, {}), place, created_at)


def publish(draft: Draft, place: Place, created_at: datetime) -> Published:
    """Publish under `models/name/version`, and make it the champion unless told not to.

    Without `version` it is the next minor version; where the newest version already is this model under this contract
    nothing is made. Raises: AlreadyPublished, InvalidBundle where the golden rows do not agree.
    """
    models, name, version, promote = place
    newest = _newest(models / name)
    if version is None and newest and (same := _same(models / name / newest, draft)):
        if promote:
            champion(models, name, newest, created_at)
        return Published(models / name / newest, same.manifest, made=False)
    version = _next(newest) if version is None else version
    if not _VERSION.fullmatch(version):
        raise InvalidBundle(str(models / name / version), f"{version!r} is not a version like 1.2.0")
    folder = models / name / version
    if folder.exists():
        raise AlreadyPublished(name, version)
    draft, proof = _proven(draft)
    contents = _contents(draft, proof)
    manifest = _manifest(name, version, draft, contents, created_at)
    contents[files.CARD] = _card(draft, manifest, contents[files.BASELINE]).encode()
    manifest = _manifest(name, version, draft, contents, created_at).sealed()
    try:
        with new_folder(folder) as building:
            for file, content in contents.items():
                (building / file).write_bytes(content)
            (building / files.MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            open_bundle(building, manifest.processor)
    except FileExistsError as error:
        raise AlreadyPublished(name, version) from error
    if promote:
        champion(models, name, version, created_at)
    return Published(folder, manifest, made=True)


def champion(models: Path, name: str, version: str, at: datetime) -> None:
    """Make `version` the one that servers answer with; they take it up within seconds."""
    Registry(models, models).change(name, promote_step(version), by="skewless publish", at=at, reason="published")


def _whole(training_set: TrainingSet) -> tuple[Window, int]:
    """The window of all rows of a training set, and how many they are. Raises: SpineMismatch where there are none."""
    times = training_set.times()
    if not len(times):
        raise SpineMismatch(TIMESTAMP, "has no value: the training set is empty, and golden rows are taken from it")
    first, last = pc.min_max(times).as_py().values()
    return (first, last + timedelta(microseconds=1)), len(times)


def _proven(draft: Draft) -> tuple[Draft, bytes]:
    """The golden rows, and the draft in the form in which no score depends on the rows around it.

    Raises: InvalidBundle where there is none.
    """
    rows = golden.chosen(draft.training_set.between(*draft.trained))
    signature = draft.read.signature or draft.read.otherwise
    tried = [_in_blocks(draft, signature, block) for block in _BLOCKS] if signature is not None else []
    for one in [draft, *tried]:
        try:
            return one, golden.prove(rows, draft.training_set.assembler, one.open())
        except InvalidBundle as error:
            refusal = error
    raise refusal


def _in_blocks(draft: Draft, signature: Signature, block: int) -> Draft:
    read = replace(draft.read, signature=msgspec.structs.replace(signature, rows_a_run=block))
    return replace(draft, read=read)


def _check_conversion(
    booster: lgb.Booster, scorer: Scorer, training_set: TrainingSet, training: Training
) -> tuple[dict[str, float], float, Sequence[Bin]]:
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


def _contents(draft: Draft, proof: bytes) -> dict[str, bytes]:
    contents = {
        files.PLAN: draft.training_set.plan.to_json(),
        files.MODEL: draft.graph,
        files.GOLDEN: proof,
        files.BASELINE: msgspec.json.encode(_baseline(draft)),
    }
    if draft.training_set.transforms:
        contents[files.TRANSFORMS] = draft.training_set.transforms
    return contents


def _baseline(draft: Draft) -> Baseline:
    """How inputs, keys and statuses of the rows trained on are distributed, and the scores of those scored."""
    training_set, model = draft.training_set, draft.open()
    table = training_set.between(*draft.trained)
    of = model.form.inputs(training_set.assembler, training_set.values(table))
    scored = table if draft.scored == draft.trained else training_set.between(*draft.scored)
    inputs = model.form.inputs(training_set.assembler, training_set.values(scored))
    absent = training_set.absences(*draft.trained)
    return describe(training_set.plan, model.form, of, table, absent, model.score(inputs))


def _card(draft: Draft, manifest: Manifest, described: bytes) -> str:
    training_set, model = draft.training_set, draft.open()
    rows = golden.chosen(training_set.between(*draft.trained))
    taken = model.form.taken_arrays(model.form.inputs(training_set.assembler, training_set.values(rows)))
    baseline = msgspec.json.decode(described, type=Baseline)
    return card_page(manifest, training_set.plan, baseline, importance(model, taken), draft.calibration)


def _manifest(name: str, version: str, draft: Draft, contents: Mapping[str, bytes], created_at: datetime) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        created_at=created_at.isoformat(),
        contract=draft.training_set.plan.fingerprint,
        output=draft.read.output,
        digests={file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        training_start=draft.trained[0].isoformat(),
        training_end=draft.trained[1].isoformat(),
        training_rows=draft.rows,
        metrics=draft.metrics,
        tools={tool: installed(tool) for tool in _TOOLS},
        processor=processor_features(),
        tolerance=_TOLERANCE,
        signature=draft.read.signature,
    )


def versions(folder: Path) -> list[str]:
    """The published versions of a model, oldest first."""
    found = [entry.name for entry in folder.iterdir() if _VERSION.fullmatch(entry.name)] if folder.is_dir() else []
    return sorted(found, key=numbers)


def is_version(name: str) -> bool:
    return _VERSION.fullmatch(name) is not None


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _newest(folder: Path) -> str | None:
    return next(reversed(versions(folder)), None)


def _next(newest: str | None) -> str:
    if newest is None:
        return "1.0.0"
    major, minor, _ = numbers(newest)
    return f"{major}.{minor + 1}.0"


def _same(folder: Path, draft: Draft) -> Bundle | None:
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
    return found if same_model and same_read and same_contract else None
