"""A draft of a bundle: everything that is published, and the proof that a row's score does not depend on other rows.

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
from skewless.model.conversion.onnx_import import ImportedModel
from skewless.model.distributions.baseline import Baseline, describe
from skewless.model.publishing import golden_rows as golden
from skewless.model.publishing import tree_leaves as leaves
from skewless.model.publishing.graph_optimisation import OriginalGraph, scales_by_batch
from skewless.model.publishing.model_card import importance
from skewless.model.publishing.model_card_page import card_page
from skewless.model.publishing.tree_ensemble import Counts, NotExplainable
from skewless.model.training.model_metrics import CalibrationBin
from skewless.model.training.training_set import TrainingSet
from skewless.registry.cpu_features import processor_features

_TOLERANCE = 1e-6
_BATCH_SIZES = (16, 1)
"""Fixed batch sizes that are tried for models whose scores depend on the other rows of a batch."""
_TOOLS = ("feast", "lightgbm", "ndonnx", "numpy", "onnx", "onnxmltools", "onnxruntime", "pyarrow", "skewless")
Window = tuple[datetime, datetime]
"""(start, end): start <= event_timestamp < end."""


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A model that is to be published: its graph, imported against a training set's plan, and its metrics.

    `training_window` has the `training_rows` rows that it was trained on, `baseline_window` those whose scores are its
    baseline. `original` is the graph before its changes, `optimised` what they gained. `leaf_counts` are the training rows
    at each leaf of its trees, where the training counted them. `leaves` is the bundle's file of leaves, or why it has none.
    """

    training_set: TrainingSet
    graph: bytes
    imported: ImportedModel
    training_window: Window
    baseline_window: Window
    training_rows: int
    metrics: dict[str, float]
    calibration: Sequence[CalibrationBin] = ()
    original: OriginalGraph | None = None
    optimised: OptimisationRecord | None = None
    leaf_counts: Counts | None = None
    leaves: bytes | NotExplainable | None = None

    def open(self) -> BundleModel:
        """Open the draft's model. Raises: InvalidPlan."""
        return open_model(self.training_set.plan, self.graph, self.imported.output, self.imported.signature)

    def golden_rows(self) -> pa.Table:
        """The rows of the training set that become golden rows."""
        return golden.sample_rows(self.training_set.between(*self.training_window))


def with_leaves(draft: BundleDraft) -> BundleDraft:
    """The draft with its leaves, or why it has none. Rows at leaves that the training did not count are counted here."""
    training_set, model = draft.training_set, draft.open()
    counted = draft.leaf_counts is not None
    rows = draft.golden_rows() if counted else training_set.between(*draft.training_window)
    inputs = model.signature.input_arrays(model.signature.assemble(training_set.assembler, training_set.values(rows)))
    try:
        content = leaves.build_leaves(draft.graph, draft.imported, model, inputs, draft.leaf_counts)
        return replace(draft, leaves=content)
    except NotExplainable as error:
        return replace(draft, leaves=error)


def prove_draft(draft: BundleDraft) -> tuple[BundleDraft, bytes]:
    """The draft with a signature under which no score depends on the other rows of a batch, and its golden rows.

    Raises: InvalidBundle where no signature does that.
    """
    rows = draft.golden_rows()
    signature = draft.imported.signature or draft.imported.fallback
    batched = [_with_batch_size(draft, signature, size) for size in _BATCH_SIZES] if signature is not None else []
    # For a graph that scales a batch by its extremes the golden rows prove nothing: they may contain the extremes.
    candidates = batched[-1:] if batched and scales_by_batch(draft.graph) else [draft, *batched]
    for candidate in candidates:
        try:
            return candidate, golden.prove(rows, draft.training_set.assembler, candidate.open())
        except InvalidBundle as error:
            refusal = error
    raise refusal


def _with_batch_size(draft: BundleDraft, signature: SignatureSpec, size: int) -> BundleDraft:
    imported = replace(draft.imported, signature=msgspec.structs.replace(signature, rows_a_run=size))
    return replace(draft, imported=imported)


def contents(draft: BundleDraft, proof: bytes, name: str, version: str, created_at: datetime) -> dict[str, bytes]:
    """The files of the draft's bundle by name, except the manifest."""
    baseline = _baseline(draft)
    by_name = {
        files.PLAN: draft.training_set.plan.to_json(),
        files.MODEL: draft.graph,
        files.GOLDEN: proof,
        files.BASELINE: msgspec.json.encode(baseline),
    }
    if draft.training_set.transforms:
        by_name[files.TRANSFORMS] = draft.training_set.transforms
    if isinstance(draft.leaves, bytes):
        by_name[LEAVES] = draft.leaves
    by_name[files.CARD] = _card(draft, manifest(draft, by_name, name, version, created_at), baseline).encode()
    return by_name


def manifest(
    draft: BundleDraft, contents: Mapping[str, bytes], name: str, version: str, created_at: datetime
) -> Manifest:
    """The manifest of the draft's bundle with the given files; not sealed yet."""
    return Manifest(
        name=name,
        version=version,
        created_at=created_at.isoformat(),
        contract=draft.training_set.plan.fingerprint,
        output=draft.imported.output,
        digests={file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        training_start=draft.training_window[0].isoformat(),
        training_end=draft.training_window[1].isoformat(),
        training_rows=draft.training_rows,
        metrics=draft.metrics,
        tools={tool: installed(tool) for tool in _TOOLS},
        processor=processor_features(),
        tolerance=_TOLERANCE,
        signature=draft.imported.signature,
        optimised=draft.optimised,
    )


def _baseline(draft: BundleDraft) -> Baseline:
    """The distributions of inputs, keys and statuses over the training window, and of scores over the baseline window."""
    training_set, model = draft.training_set, draft.open()
    table = training_set.between(*draft.training_window)
    trained = model.signature.assemble(training_set.assembler, training_set.values(table))
    scored = table if draft.baseline_window == draft.training_window else training_set.between(*draft.baseline_window)
    inputs = model.signature.assemble(training_set.assembler, training_set.values(scored))
    absent = training_set.absent_rows(*draft.training_window)
    return describe(training_set.plan, model.signature, trained, table, absent, model.score(inputs))


def _card(draft: BundleDraft, manifest: Manifest, baseline: Baseline) -> str:
    training_set, model = draft.training_set, draft.open()
    inputs = model.signature.input_arrays(
        model.signature.assemble(training_set.assembler, training_set.values(draft.golden_rows()))
    )
    return card_page(manifest, training_set.plan, baseline, importance(model, inputs), draft.calibration)
