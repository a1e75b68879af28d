"""Publishes a trained model as a bundle that proves itself.

The model is converted to ONNX, golden rows are scored singly, in odd batches and whole and must agree to the bit, and
the bundle is opened as a server would open it before it takes its place. A published version never changes.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path

import lightgbm as lgb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from pipelines.baseline import Baseline, describe
from pipelines.errors import AlreadyPublished
from pipelines.folder import new_folder
from pipelines.train import Training, evaluate, trained
from pipelines.training_set import TrainingSet, labelled
from serving.contract import bundle as files
from serving.contract.assembler import Matrix
from serving.contract.bundle import Bundle, Manifest, golden_table, open_bundle
from serving.contract.errors import InvalidBundle
from serving.contract.processor import processor_features
from serving.contract.registry import Registry
from serving.contract.rollout import promote as promote_step
from serving.contract.row import Values
from serving.contract.scorer import Output, Scorer

_GOLDEN_ROWS = 256
_ODD_BATCHES = (1, 3, 7, 16, 33)
_TOLERANCE = 1e-6
_CONVERSION_BOUND = 1e-5
_OPSET = 15
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_TOOLS = ("feast", "lightgbm", "ndonnx", "numpy", "onnx", "onnxmltools", "onnxruntime", "pyarrow", "skewless")


@dataclass(frozen=True, slots=True)
class Published:
    """Where a bundle is, what it says of itself, and whether this call made it.

    `conversion_gap` is the greatest difference between LightGBM's own scores and the ONNX model's on the test window.
    """

    folder: Path
    manifest: Manifest
    made: bool
    conversion_gap: float


def run(
    training_set: TrainingSet,
    models: Path,
    name: str,
    *,
    created_at: datetime,
    version: str | None = None,
    promote: bool = True,
) -> Published:
    """Publish the model of a training set under `models/name/version`, and make it the champion unless told not to.

    Without `version` it is the next minor version; where the newest version already is this model under this contract
    nothing is made. Raises: NotTrained, AlreadyPublished, InvalidBundle where the golden rows do not agree.
    """
    booster, training = trained(training_set.folder)
    graph = convert(booster, len(training_set.plan.columns))
    scorer = Scorer(graph, Output("probabilities", 1), columns=len(training_set.plan.columns))
    newest = _newest(models / name)
    if version is None and newest and (same := _same(models / name / newest, training_set, graph)):
        gap = _check_conversion(booster, scorer, training_set, training)[1]
        if promote:
            champion(models, name, newest, created_at)
        return Published(models / name / newest, same.manifest, made=False, conversion_gap=gap)
    version = _next(newest) if version is None else version
    if not _VERSION.fullmatch(version):
        raise InvalidBundle(str(models / name / version), f"{version!r} is not a version like 1.2.0")
    folder = models / name / version
    if folder.exists():
        raise AlreadyPublished(name, version)
    metrics, gap = _check_conversion(booster, scorer, training_set, training)
    contents = _contents(training_set, training, graph, scorer)
    manifest = _manifest(name, version, training_set, training, contents, metrics, created_at)
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
    return Published(folder, manifest, made=True, conversion_gap=gap)


def champion(models: Path, name: str, version: str, at: datetime) -> None:
    """Make `version` the one that servers answer with; they take it up within seconds."""
    Registry(models, models).change(name, promote_step(version), by="skewless publish", at=at, reason="published")


def convert(booster: lgb.Booster, columns: int) -> bytes:
    """The booster as an ONNX model of one float32 matrix, with outputs `label` and `probabilities`."""
    model = convert_lightgbm(
        narrowed(booster),
        name="model",  # the default is random, and equal models should be equal bytes
        initial_types=[("input", FloatTensorType([None, columns]))],
        zipmap=False,
        target_opset=_OPSET,
    )
    graph: bytes = model.SerializeToString()
    return graph


def narrowed(booster: lgb.Booster) -> lgb.Booster:
    """The booster with its float64 thresholds rounded down to float32, which ONNX keeps them in.

    On float32 inputs both decide alike: `x <= threshold` holds for the same x. Rounded to nearest, as the converter
    does, a threshold between two neighbouring inputs moves onto the upper one, which then takes the other branch.
    """
    lines = []
    for text in booster.model_to_string().splitlines():
        line = text
        if line.startswith("threshold="):
            exact = np.array(line.removeprefix("threshold=").split(), np.float64)
            with np.errstate(over="ignore"):  # beyond float32 is its infinity, rounded down like any other
                near = exact.astype(np.float32)
                down = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
            line = "threshold=" + " ".join(repr(float(value)) for value in down)
        lines.append(line)
    return lgb.Booster(model_str="\n".join(_without_sizes(lines)))


def _without_sizes(lines: Sequence[str]) -> list[str]:
    """The tree sizes of a model's text are offsets into it; without them LightGBM reads tree by tree."""
    return [line for line in lines if not line.startswith("tree_sizes=")]


def _check_conversion(
    booster: lgb.Booster, scorer: Scorer, training_set: TrainingSet, training: Training
) -> tuple[dict[str, float], float]:
    """Metrics of the ONNX model on the test window, and its greatest gap to LightGBM. Raises: InvalidBundle."""
    window = datetime.fromisoformat(training.test), datetime.fromisoformat(training.end)
    test, labels = labelled(training_set.between(*window), training.label)
    matrix = training_set.matrix(test)
    scores = scorer.score(matrix)
    gap = float(np.abs(np.asarray(booster.predict(matrix)) - scores).max(initial=0.0))
    if gap > _CONVERSION_BOUND:
        raise InvalidBundle("model.onnx", f"its scores are {gap:.2g} off LightGBM's, more than {_CONVERSION_BOUND:.0e}")
    return evaluate(labels, scores), gap


def _contents(training_set: TrainingSet, training: Training, graph: bytes, scorer: Scorer) -> dict[str, bytes]:
    window = datetime.fromisoformat(training.start), datetime.fromisoformat(training.validate)
    table = training_set.between(*window)
    golden = table.take(pa.array(np.linspace(0, len(table) - 1, min(_GOLDEN_ROWS, len(table))).astype(np.int64)))
    contents = {
        files.PLAN: training_set.plan.to_json(),
        files.MODEL: graph,
        files.GOLDEN: _golden(training_set, golden, scorer),
        files.BASELINE: msgspec.json.encode(_baseline(training_set, table, training, scorer)),
    }
    if training_set.transforms:
        contents[files.TRANSFORMS] = training_set.transforms
    return contents


def _golden(training_set: TrainingSet, rows: pa.Table, scorer: Scorer) -> bytes:
    """Golden rows, after the proof that a row's score does not depend on the rows around it."""
    given = training_set.given_values(rows)
    assembler = training_set.assembler
    matrix = assembler.matrix(assembler.complete(given))
    scores = scorer.score(matrix)
    for size in _ODD_BATCHES:
        for start in range(0, len(rows), size):
            part = {source: _slice(values, start, size) for source, values in given.items()}
            inputs = assembler.matrix(assembler.complete(part))
            _demand_equal(matrix[start : start + size], inputs, "model input", start, size)
            _demand_equal(scores[start : start + size], scorer.score(inputs), "score", start, size)
    buffer = io.BytesIO()
    pq.write_table(golden_table(training_set.given(rows), matrix, scores), buffer, compression="zstd")
    return buffer.getvalue()


def _slice(values: Values, start: int, size: int) -> Values:
    return Values(values.data[start : start + size], values.valid[start : start + size])


def _demand_equal(
    whole: Matrix | NDArray[np.float32], part: Matrix | NDArray[np.float32], what: str, start: int, size: int
) -> None:
    if whole.tobytes() != part.tobytes():
        raise InvalidBundle("model.onnx", f"the {what} of row {start} and on depends on the batch ({size} rows or all)")


def _baseline(training_set: TrainingSet, table: pa.Table, training: Training, scorer: Scorer) -> Baseline:
    """How inputs, keys and statuses of the training rows in `table` are distributed, and the scores of the test rows."""
    start, validate, test, end = map(
        datetime.fromisoformat, (training.start, training.validate, training.test, training.end)
    )
    scores = scorer.score(training_set.matrix(training_set.between(test, end)))
    absent = training_set.absences(start, validate)
    return describe(training_set.plan, training_set.matrix(table), table, absent, scores)


def _manifest(
    name: str,
    version: str,
    training_set: TrainingSet,
    training: Training,
    contents: Mapping[str, bytes],
    metrics: dict[str, float],
    created_at: datetime,
) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        created_at=created_at.isoformat(),
        contract=training_set.plan.fingerprint,
        output=Output("probabilities", 1),
        digests={file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        training_start=training.start,
        training_end=training.validate,
        training_rows=training.rows,
        metrics=metrics,
        tools={tool: installed(tool) for tool in _TOOLS},
        processor=processor_features(),
        tolerance=_TOLERANCE,
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


def _same(folder: Path, training_set: TrainingSet, graph: bytes) -> Bundle | None:
    """The bundle in `folder`, if it is sound and is this model under this contract."""
    try:
        found = open_bundle(folder, processor_features())
    except InvalidBundle:
        return None
    same_model = found.manifest.digests[files.MODEL] == hashlib.sha256(graph).hexdigest()
    return found if same_model and found.plan.fingerprint == training_set.plan.fingerprint else None
