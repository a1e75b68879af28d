"""A bundle: a model version as a folder that proves itself when it is opened (`skewless.registry.bundle_folder`).

    manifest.json      name, version, digests of the other files, contract fingerprint, output, training window,
                       metrics, tool versions, the processor that scored the golden rows
    plan.json          the contract's data
    model.onnx         the model; transforms.onnx, where the plan has transforms
    golden.parquet     given values, model input and score of some training rows
    baseline.json      distribution of each model input in training
    leaves.parquet     of a tree model: what contributions are computed from (see `skewless.contract.model.tree_leaves`)
    card.html          the model's card, for people (bundles of older versions have none)

A bundle holds no pickle.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.contract.columns import ColumnValues, column_values
from skewless.contract.errors import InvalidBundle, SkewlessError
from skewless.contract.model.assembler import Assembler, column_types
from skewless.contract.model.manifest import MANIFEST, Manifest
from skewless.contract.model.matrix_scorer import MatrixScorer, ScoreOutput
from skewless.contract.model.shapley import ShapleyExplainer, beyond_rounding, contributions_of
from skewless.contract.model.signature import (
    Array,
    ColumnGroup,
    MatrixSignature,
    ModelInput,
    ModelSignature,
    NullInTensor,
    Scores,
    SignatureSpec,
    TensorSignature,
    differing,
    from_columns,
    to_columns,
)
from skewless.contract.model.tensor_scorer import TensorScorer
from skewless.contract.model.transforms import reference
from skewless.contract.model.tree_leaves import LEAVES
from skewless.contract.plan import ColumnSource, Plan
from skewless.contract.plan_validation import plan_from_json
from skewless.contract.value_types import value_type

PLAN = "plan.json"
MODEL = "model.onnx"
TRANSFORMS = "transforms.onnx"
GOLDEN = "golden.parquet"
BASELINE = "baseline.json"
CARD = "card.html"
_TREES = b"TreeEnsemble"
"""Part of the name of ONNX's operators of trees, which stands in a graph as it is."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened, proven bundle. `exact` is false where the golden rows matched only within the tolerance.

    `contributions` are of tree models; `of_trees`: whether this is one, though its leaves may not be kept.
    """

    manifest: Manifest
    plan: Plan
    assembler: Assembler
    model: BundleModel
    exact: bool
    contributions: ShapleyExplainer | None = None
    of_trees: bool = False

    @property
    def signature(self) -> ModelSignature:
        """What the model takes and tells."""
        return self.model.signature

    @property
    def scorer(self) -> MatrixScorer:
        """The scorer of a model of one matrix. Raises: InvalidBundle for any other."""
        if not isinstance(self.model.scorer, MatrixScorer):
            raise InvalidBundle(self.manifest.name, "its model takes named inputs, where one of one matrix is needed")
        return self.model.scorer

    def inputs(self, values: Mapping[ColumnSource, ColumnValues]) -> ModelInput:
        """The model's input from the values that the plan names."""
        return self.model.signature.assemble(self.assembler, values)

    def score(self, inputs: ModelInput) -> Scores:
        """What the model tells of n rows."""
        return self.model.score(inputs)


class BundleModel:
    """A model's graph and its signature: a scorer of one matrix, or of named inputs."""

    def __init__(self, signature: ModelSignature, scorer: MatrixScorer | TensorScorer) -> None:
        self.signature, self.scorer = signature, scorer
        # The scorer's own method, so that a request pays for no call between: its inputs are made by its own signature.
        self.score = cast(Callable[[ModelInput], Scores], scorer.score)
        """What the model returns for n rows of its signature's input."""


def open_model(plan: Plan, graph: bytes, output: ScoreOutput, signature: SignatureSpec | None) -> BundleModel:
    """A plan's model. Raises: InvalidPlan where graph and plan do not fit; ONNX Runtime's own kinds."""
    if signature is None:
        return BundleModel(MatrixSignature(plan), MatrixScorer(graph, output, columns=len(plan.columns)))
    return BundleModel(TensorSignature(plan, signature), TensorScorer(graph, signature))


def file_names(manifest: Manifest, where: str) -> list[str]:
    """The files that belong to a bundle beside its manifest. Raises: InvalidBundle where a name is no file's."""
    for name in manifest.digests:
        if "/" in name or name in {"", ".", "..", MANIFEST} or "\0" in name:
            raise InvalidBundle(where, f"its manifest names {name!r}, which is not a file of the bundle")
    return list(manifest.digests)


def prove_bundle(manifest: Manifest, files: Mapping[str, bytes], where: str, processor: Sequence[str]) -> Bundle:
    """Open a bundle after checking the digests of its `files`, its fingerprint and its golden rows.

    `where` names it in errors, and `processor` are the SIMD features of this machine. Raises: InvalidBundle.
    """
    for name in file_names(manifest, where):
        if name not in files:
            raise InvalidBundle(where, f"{name} is missing")
        if hashlib.sha256(files[name]).hexdigest() != manifest.digests[name]:
            raise InvalidBundle(where, f"{name} is not the file that was published")
    missing = {PLAN, MODEL, GOLDEN, BASELINE} - set(manifest.digests)
    if missing:
        raise InvalidBundle(where, f"its manifest does not list {min(missing)}")
    try:
        plan = plan_from_json(files[PLAN], name=manifest.name)
        column_types(plan)
        assembler = Assembler(plan, files.get(TRANSFORMS))
        model = open_model(plan, files[MODEL], manifest.output, manifest.signature)
        contributions = contributions_of(model.signature, files[LEAVES]) if LEAVES in files else None
    except SkewlessError as error:
        raise InvalidBundle(where, str(error)) from error
    except Exception as error:  # ONNX Runtime raises its own kinds on a broken graph
        raise InvalidBundle(where, f"its graphs do not load ({type(error).__name__})") from error
    if plan.fingerprint != manifest.contract:
        raise InvalidBundle(where, "plan.json is not the contract that its manifest names")
    trees = _TREES in files[MODEL]
    bundle = Bundle(manifest, plan, assembler, model, exact=True, contributions=contributions, of_trees=trees)
    same = tuple(processor) == manifest.processor
    exact = _prove(where, bundle, files[GOLDEN], None if same else manifest.tolerance)
    return replace(bundle, exact=exact)


def output_names(output: ScoreOutput, signature: SignatureSpec | None) -> list[str]:
    """The names of the graph's outputs that are scores, in the order of the signature's `outputs`."""
    return [spec.name for spec in signature.outputs] if signature is not None else [output.name]


def untransformed_values(
    plan: Plan, sources: Sequence[ColumnSource], table: pa.Table
) -> dict[ColumnSource, ColumnValues]:
    """The values of the sources out of a table whose columns are named by `reference`."""
    types = column_types(plan)
    return {
        source: column_values(value_type(types[source]), table.column(reference(source)).combine_chunks())
        for source in sources
    }


def golden_table(given_rows: pa.Table, signature: ModelSignature, inputs: ModelInput, scores: Scores) -> pa.Table:
    """Golden rows: the given values of some rows, with the model input and scores that they gave."""
    for groups, arrays in (
        (signature.inputs, signature.input_arrays(inputs)),
        (signature.outputs, signature.output_arrays(scores)),
    ):
        for group, column in zip(groups, to_columns(groups, arrays), strict=True):
            given_rows = given_rows.append_column(group.field, column)
    return given_rows


def _prove(where: str, bundle: Bundle, golden: bytes, tolerance: float | None) -> bool:
    """Re-score the golden rows; whether they matched to the bit, which a tolerance of None demands.

    Raises: InvalidBundle naming the row and the gap.
    """
    given, inputs, scores = _golden(where, bundle, golden)
    signature = bundle.signature
    try:
        now = bundle.inputs(bundle.assembler.complete(given))
        again = signature.output_arrays(bundle.score(now))
        now_arrays = signature.input_arrays(now)
    except Exception as error:  # ONNX Runtime's own kinds, and NumPy's where a graph gives another shape
        raise InvalidBundle(where, f"its golden rows do not score ({type(error).__name__})") from error
    if bundle.contributions is not None:
        output, names = bundle.manifest.output, output_names(bundle.manifest.output, bundle.manifest.signature)
        told = again[names.index(bundle.contributions.head.output)]
        gap = beyond_rounding(bundle.contributions, now_arrays[0], told, output.column)
        if gap > 0:
            raise InvalidBundle(where, f"{LEAVES} adds up to other scores than its golden rows' (gap {gap:.3g})")
    same_input = _same(where, "model input", signature.inputs, now_arrays, inputs, tolerance)
    return _same(where, "score", signature.outputs, again, scores, tolerance) and same_input


def _golden(
    where: str, bundle: Bundle, golden: bytes
) -> tuple[dict[ColumnSource, ColumnValues], list[Array], list[Array]]:
    """The given values, model input and scores of the golden rows. Raises: InvalidBundle."""
    try:
        table = pq.read_table(io.BytesIO(golden))
        given = untransformed_values(bundle.plan, bundle.assembler.untransformed, table)
        inputs, scores = (from_columns(groups, table) for groups in (bundle.signature.inputs, bundle.signature.outputs))
    except NullInTensor as error:
        raise InvalidBundle(where, f"{GOLDEN} lacks the model input or the score of a row") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InvalidBundle(where, f"{GOLDEN} does not hold the plan's values") from error
    if not table.num_rows:
        raise InvalidBundle(where, f"{GOLDEN} holds no rows, so it proves nothing")
    return given, inputs, scores


def _same(
    where: str,
    what: str,
    groups: Sequence[ColumnGroup],
    now: Sequence[Array],
    then: Sequence[Array],
    tolerance: float | None,
) -> bool:
    """Whether all bits are equal. NaNs of two processors may differ in bits: within a tolerance their gap is 0."""
    exact = True
    for group, mine, theirs in zip(groups, now, then, strict=True):
        wrong = differing(theirs, mine)
        gaps = np.where(wrong, np.inf, 0.0)
        if mine.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                gaps = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
            gaps[np.isnan(mine) & np.isnan(theirs)] = 0.0
        beyond = wrong if tolerance is None else wrong & ~(gaps <= tolerance)
        if beyond.any():
            row, gap = np.argwhere(beyond)[0][0], np.nanmax(np.append(gaps[beyond], 0.0))
            told = what if len(groups) == 1 else f"{what} ({group.column})"
            raise InvalidBundle(
                where,
                f"golden row {row}: its {told} differs (greatest gap {gap:.3g}, allowed {tolerance or 0.0:.3g})",
            )
        exact = exact and not wrong.any()
    return exact
