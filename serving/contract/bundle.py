"""A bundle: a model version as a folder that proves itself when it is opened.

    manifest.json      name, version, digests of the other files, contract fingerprint, output, training window,
                       metrics, tool versions, the processor that scored the golden rows
    plan.json          the contract's data
    model.onnx         the model; transforms.onnx, where the plan has transforms
    golden.parquet     given values, model input and score of some training rows
    baseline.json      distribution of each model input in training

A bundle holds no pickle.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serving.contract.assembler import Assembler, Matrix, column_types
from serving.contract.errors import InvalidBundle, SkewlessError
from serving.contract.plan import Plan, Source, plan_from_json
from serving.contract.row import Values, column_values
from serving.contract.scorer import Output, Scorer
from serving.contract.transforms import reference
from serving.contract.types import value_type

MANIFEST = "manifest.json"
PLAN = "plan.json"
MODEL = "model.onnx"
TRANSFORMS = "transforms.onnx"
GOLDEN = "golden.parquet"
BASELINE = "baseline.json"
MODEL_INPUT = "model_input"
SCORE = "score"


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle says of itself. Times are ISO 8601, UTC; `digests` are SHA-256 by file name.

    `processor` are the SIMD features of the machine that scored the golden rows: where they match, opening demands
    equal bits; elsewhere a score may be off by `tolerance` at most.
    """

    name: str
    version: str
    created_at: str
    contract: str
    output: Output
    digests: dict[str, str]
    training_start: str
    training_end: str
    training_rows: int
    metrics: dict[str, float]
    tools: dict[str, str]
    processor: tuple[str, ...]
    tolerance: float
    format: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened, proven bundle. `exact` is false where the golden rows matched only within the tolerance."""

    manifest: Manifest
    plan: Plan
    assembler: Assembler
    scorer: Scorer
    exact: bool


def open_bundle(folder: Path, processor: Sequence[str]) -> Bundle:
    """Open a bundle after checking its digests, its fingerprint and its golden rows. Raises: InvalidBundle.

    `processor` are the SIMD features of this machine.
    """
    manifest = _manifest(folder)
    files = {name: _proven(folder, name, digest) for name, digest in manifest.digests.items()}
    missing = {PLAN, MODEL, GOLDEN, BASELINE} - set(files)
    if missing:
        raise InvalidBundle(str(folder), f"its manifest does not list {min(missing)}")
    try:
        plan = plan_from_json(files[PLAN], name=manifest.name)
        column_types(plan)
        assembler = Assembler(plan, files.get(TRANSFORMS))
        scorer = Scorer(files[MODEL], manifest.output, columns=len(plan.columns))
    except SkewlessError as error:
        raise InvalidBundle(str(folder), str(error)) from error
    except Exception as error:  # ONNX Runtime raises its own kinds on a broken graph
        raise InvalidBundle(str(folder), f"its graphs do not load ({type(error).__name__})") from error
    if plan.fingerprint != manifest.contract:
        raise InvalidBundle(str(folder), "plan.json is not the contract that its manifest names")
    bundle = Bundle(manifest, plan, assembler, scorer, exact=True)
    same = tuple(processor) == manifest.processor
    exact = _prove(folder, bundle, files[GOLDEN], None if same else manifest.tolerance)
    return Bundle(manifest, plan, assembler, scorer, exact=exact)


def _manifest(folder: Path) -> Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise InvalidBundle(str(folder), f"it has no {MANIFEST}") from error
    except OSError as error:
        raise InvalidBundle(str(folder), f"{MANIFEST} cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBundle(str(folder), f"{MANIFEST} does not fit its format ({error})") from error


def _proven(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name or name in {"", "..", MANIFEST} or "\0" in name:
        raise InvalidBundle(str(folder), f"its manifest names {name!r}, which is not a file of the bundle")
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise InvalidBundle(str(folder), f"{name} is missing") from error
    except OSError as error:
        raise InvalidBundle(str(folder), f"{name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise InvalidBundle(str(folder), f"{name} is not the file that was published")
    return content


def given_types(plan: Plan, given: Sequence[Source]) -> dict[Source, pa.DataType]:
    """The Arrow types of the given values, as golden rows and training sets keep them."""
    types = column_types(plan)
    return {source: value_type(types[source]).arrow for source in given}


def given_values(plan: Plan, given: Sequence[Source], table: pa.Table) -> dict[Source, Values]:
    """The given values out of a table whose columns are named by `reference`."""
    types = column_types(plan)
    return {
        source: column_values(value_type(types[source]), table.column(reference(source)).combine_chunks())
        for source in given
    }


def golden_table(bundle_rows: pa.Table, matrix: Matrix, scores: np.ndarray) -> pa.Table:
    """Golden rows: the given values of some rows, with the model input and score that they gave."""
    inputs = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    return bundle_rows.append_column(MODEL_INPUT, inputs).append_column(SCORE, pa.array(scores))


def _prove(folder: Path, bundle: Bundle, golden: bytes, tolerance: float | None) -> bool:
    """Re-score the golden rows; whether they matched to the bit, which a tolerance of None demands.

    Raises: InvalidBundle naming the row and the gap.
    """
    given, inputs, scores = _golden(folder, bundle, golden)
    try:
        matrix = bundle.assembler.matrix(bundle.assembler.complete(given))
        again = bundle.scorer.score(matrix)
    except Exception as error:  # ONNX Runtime's own kinds, and NumPy's where a graph gives another shape
        raise InvalidBundle(str(folder), f"its golden rows do not score ({type(error).__name__})") from error
    same_input = _same(folder, "model input", matrix, inputs, tolerance)
    return _same(folder, "score", again, scores, tolerance) and same_input


def _golden(folder: Path, bundle: Bundle, golden: bytes) -> tuple[dict[Source, Values], Matrix, NDArray[np.float32]]:
    """The given values, model input and scores of the golden rows. Raises: InvalidBundle."""
    width = len(bundle.plan.columns)
    try:
        table = pq.read_table(io.BytesIO(golden))
        given = given_values(bundle.plan, bundle.assembler.given, table)
        inputs = table.column(MODEL_INPUT).cast(pa.list_(pa.float32(), width)).combine_chunks()
        scores = table.column(SCORE).cast(pa.float32()).combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InvalidBundle(str(folder), f"{GOLDEN} does not hold the plan's values") from error
    if not table.num_rows:
        raise InvalidBundle(str(folder), f"{GOLDEN} holds no rows, so it proves nothing")
    flat = inputs.flatten()
    if flat.null_count or scores.null_count or len(flat) != width * table.num_rows:
        raise InvalidBundle(str(folder), f"{GOLDEN} lacks the model input or the score of a row")
    return given, flat.to_numpy().reshape(-1, width), scores.to_numpy()


def _same(
    folder: Path, what: str, now: NDArray[np.float32], then: NDArray[np.float32], tolerance: float | None
) -> bool:
    """Whether all bits are equal. NaNs of two processors may differ in bits: within a tolerance their gap is 0."""
    wrong = now.view(np.uint32) != then.view(np.uint32)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(now.astype(np.float64) - then.astype(np.float64))
    gaps[np.isnan(now) & np.isnan(then)] = 0.0
    beyond = wrong if tolerance is None else wrong & ~(gaps <= tolerance)
    if beyond.any():
        row, gap = np.argwhere(beyond)[0][0], np.nanmax(np.append(gaps[beyond], 0.0))
        raise InvalidBundle(
            str(folder),
            f"golden row {row}: its {what} differs (greatest gap {gap:.3g}, allowed {tolerance or 0.0:.3g})",
        )
    return not wrong.any()
