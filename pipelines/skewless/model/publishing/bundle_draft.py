"""A draft: what is to be published, before it is a bundle, and the proof that a row's score is the row's alone.

Held by tests/model/publishing/test_publish.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version as installed

import msgspec
import pyarrow as pa

from skewless.contract.errors import InvalidBundle
from skewless.contract.model import bundle as files
from skewless.contract.model.bundle import BundleModel, open_model
from skewless.contract.model.manifest import Manifest
from skewless.contract.model.optimisation import OptimisationRecord
from skewless.contract.model.signature import SignatureSpec
from skewless.contract.model.tree_leaves import LEAVES
from skewless.model.distributions.baseline import Baseline, describe
from skewless.model.publishing import golden_rows as golden
from skewless.model.publishing import tree_leaves as leaves
from skewless.model.publishing.graph_optimisation import OriginalGraph, scaled_by_all
from skewless.model.publishing.model_card import importance
from skewless.model.publishing.model_card_page import card_page
from skewless.model.publishing.onnx_import import ImportedModel
from skewless.model.publishing.tree_ensemble import Counts, NotExplainable
from skewless.model.training.model_metrics import CalibrationBin
from skewless.model.training.training_set import TrainingSet
from skewless.registry.cpu_features import processor_features

_TOLERANCE = 1e-6
_BLOCKS = (16, 1)
"""Rows a run that are tried, for models whose scores depend on the rows around them."""
_TOOLS = ("feast", "lightgbm", "ndonnx", "numpy", "onnx", "onnxmltools", "onnxruntime", "pyarrow", "skewless")
Window = tuple[datetime, datetime]
"""start <= event_timestamp < end."""


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """What is to be published: a graph read against a training set's plan, the windows of the rows that it was trained
    on (how many they were) and of those whose scores are its baseline, and its metrics. `origin` is what the graph was
    before it was changed, `optimised` what that won. `of_leaves`: how many rows the training counted at each leaf of its
    trees, if it did; `leaves`, once they are made: the bundle's file of them, or why it has none.
    """

    training_set: TrainingSet
    graph: bytes
    read: ImportedModel
    trained: Window
    scored: Window
    rows: int
    metrics: dict[str, float]
    calibration: Sequence[CalibrationBin] = ()
    origin: OriginalGraph | None = None
    optimised: OptimisationRecord | None = None
    of_leaves: Counts | None = None
    leaves: bytes | NotExplainable | None = None

    def open(self) -> BundleModel:
        """Raises: InvalidPlan."""
        return open_model(self.training_set.plan, self.graph, self.read.output, self.read.signature)

    def golden_rows(self) -> pa.Table:
        """The rows of the training set that prove it."""
        return golden.chosen(self.training_set.between(*self.trained))


def explained(draft: BundleDraft) -> BundleDraft:
    """The draft with its leaves, or why it has none. Where the training did not count them, its rows are."""
    training_set, model = draft.training_set, draft.open()
    rows = draft.golden_rows() if draft.of_leaves is not None else training_set.between(*draft.trained)
    taken = model.signature.input_arrays(model.signature.assemble(training_set.assembler, training_set.values(rows)))
    try:
        return replace(draft, leaves=leaves.made(draft.graph, draft.read, model, taken, draft.of_leaves))
    except NotExplainable as error:
        return replace(draft, leaves=error)


def proven(draft: BundleDraft) -> tuple[BundleDraft, bytes]:
    """The draft in the form in which no score depends on the rows around it, and its golden rows.

    Raises: InvalidBundle where there is none.
    """
    rows = draft.golden_rows()
    signature = draft.read.signature or draft.read.otherwise
    tried = [_in_blocks(draft, signature, block) for block in _BLOCKS] if signature is not None else []
    # Of a graph that scales rows by those around them no proof on some rows would tell: these may have its extremes.
    forms = tried[-1:] if tried and scaled_by_all(draft.graph) else [draft, *tried]
    for one in forms:
        try:
            return one, golden.prove(rows, draft.training_set.assembler, one.open())
        except InvalidBundle as error:
            refusal = error
    raise refusal


def _in_blocks(draft: BundleDraft, signature: SignatureSpec, block: int) -> BundleDraft:
    read = replace(draft.read, signature=msgspec.structs.replace(signature, rows_a_run=block))
    return replace(draft, read=read)


def contents(draft: BundleDraft, proof: bytes, name: str, version: str, created_at: datetime) -> dict[str, bytes]:
    """The files of its bundle, by name, but for the manifest."""
    baseline = _baseline(draft)
    found = {
        files.PLAN: draft.training_set.plan.to_json(),
        files.MODEL: draft.graph,
        files.GOLDEN: proof,
        files.BASELINE: msgspec.json.encode(baseline),
    }
    if draft.training_set.transforms:
        found[files.TRANSFORMS] = draft.training_set.transforms
    if isinstance(draft.leaves, bytes):
        found[LEAVES] = draft.leaves
    found[files.CARD] = _card(draft, manifest(draft, found, name, version, created_at), baseline).encode()
    return found


def manifest(
    draft: BundleDraft, contents: Mapping[str, bytes], name: str, version: str, created_at: datetime
) -> Manifest:
    """What its bundle says of itself and of the other files; not sealed yet."""
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
        optimised=draft.optimised,
    )


def _baseline(draft: BundleDraft) -> Baseline:
    """How inputs, keys and statuses of the rows trained on are distributed, and the scores of those scored."""
    training_set, model = draft.training_set, draft.open()
    table = training_set.between(*draft.trained)
    of = model.signature.assemble(training_set.assembler, training_set.values(table))
    scored = table if draft.scored == draft.trained else training_set.between(*draft.scored)
    inputs = model.signature.assemble(training_set.assembler, training_set.values(scored))
    absent = training_set.absent_rows(*draft.trained)
    return describe(training_set.plan, model.signature, of, table, absent, model.score(inputs))


def _card(draft: BundleDraft, said: Manifest, baseline: Baseline) -> str:
    training_set, model = draft.training_set, draft.open()
    taken = model.signature.input_arrays(
        model.signature.assemble(training_set.assembler, training_set.values(draft.golden_rows()))
    )
    return card_page(said, training_set.plan, baseline, importance(model, taken), draft.calibration)
