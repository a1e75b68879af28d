"""Builds the leaves of a tree model, from which a server computes contributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.bundle import BundleModel, output_names
from skewless.contract.model.shapley import beyond_rounding, contributions_of
from skewless.contract.model.signature import Array
from skewless.contract.model.tree_leaves import Covers, LeavesHeader, RaggedLists, TreeLeaves
from skewless.model.conversion.onnx_import import ImportedModel
from skewless.model.publishing import tree_ensemble
from skewless.model.publishing.tree_ensemble import Counts, NotExplainable, TreeEnsemble

_PROVEN_ROWS = 256
_INFINITY = np.float32(np.inf)


class _SplitSide(NamedTuple):
    """The values of a column that lead to a leaf: from `first` to `last`, and missing ones; and their share of the rows."""

    first: np.float32 = -_INFINITY
    last: np.float32 = _INFINITY
    missing: bool = True
    share: float = 1.0


_EVERYWHERE = _SplitSide()
_Box = Mapping[int, _SplitSide]


def build_leaves(
    graph: bytes,
    imported: ImportedModel,
    model: BundleModel,
    inputs: Sequence[Array],
    leaf_counts: Counts | None,
) -> bytes:
    """The bundle's file of leaves for a graph, checked against the model's scores of sample of the `inputs` (one array per
    column group).

    `leaf_counts` are the rows that the training counted at the leaves; if None, all `inputs` are counted. Raises:
    NotExplainable.
    """
    names = output_names(imported.output, imported.signature)
    ensemble = tree_ensemble.read(graph, names)
    if len(inputs) != 1 or inputs[0].dtype != np.float32:
        raise NotExplainable("it takes something else than one float32 matrix")
    matrix = inputs[0]
    covers: Covers = "rows" if leaf_counts is None else "lightgbm"
    counts = ensemble.leaf_counts(matrix) if leaf_counts is None else leaf_counts
    content = leaves_of(ensemble, counts, covers).to_parquet()
    try:
        explainer = contributions_of(model.signature, content)
    except InvalidPlan as error:
        raise NotExplainable(error.reason) from error
    sample = matrix[np.linspace(0, len(matrix) - 1, min(_PROVEN_ROWS, len(matrix))).astype(np.int64)]
    scores = model.signature.output_arrays(model.score(model.signature.from_arrays([sample])))[
        names.index(ensemble.output)
    ]
    gap = beyond_rounding(explainer, sample, scores, imported.output.column)
    if gap > 0:
        raise NotExplainable(f"its scores are {gap:.2g} off what its leaves add up to")
    return content


def leaves_of(ensemble: TreeEnsemble, leaf_counts: Counts, covers: Covers) -> TreeLeaves:
    """The boxes of all leaves, with the rows counted at each. Raises: NotExplainable where the counts are of other trees."""
    if len(leaf_counts) != len(ensemble.leaves):
        raise NotExplainable(f"{len(leaf_counts)} leaves were counted, and its graph has {len(ensemble.leaves)}")
    boxes = _boxes(ensemble, ensemble.covers(leaf_counts))
    sides = [side for box in boxes for side in box.values()]
    adds = [ensemble.adds.get(int(leaf), ()) for leaf in ensemble.leaves]
    splits: dict[str, NDArray[np.generic]] = {
        "columns": np.array([column for box in boxes for column in box], np.int32),
        "first": np.array([side.first for side in sides], np.float32),
        "last": np.array([side.last for side in sides], np.float32),
        "missing": np.array([side.missing for side in sides], np.bool_),
        "share": np.array([side.share for side in sides], np.float64),
    }
    weights: dict[str, NDArray[np.generic]] = {
        "targets": np.array([target for pairs in adds for target, _ in pairs], np.int32),
        "weights": np.array([weight for pairs in adds for _, weight in pairs], np.float32),
    }
    head = LeavesHeader(ensemble.output, ensemble.link, ensemble.base, len(ensemble.roots), covers, ensemble.scale)
    return TreeLeaves(head, RaggedLists(_ends(boxes), splits), RaggedLists(_ends(adds), weights))


def _ends(lists: Sequence[Mapping[int, _SplitSide]] | Sequence[Sequence[tuple[int, float]]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)


def _boxes(ensemble: TreeEnsemble, covers: Counts) -> list[_Box]:
    """The box of each leaf, in order. A split that no row reaches counts as halving its rows."""
    reached: dict[int, _Box] = {root: {} for root in ensemble.roots}
    boxes = []
    for node in range(len(ensemble.low)):
        box = reached.pop(node)
        low, high = int(ensemble.low[node]), int(ensemble.high[node])
        if low < 0:
            boxes.append(box)
            continue
        column, threshold = int(ensemble.column[node]), ensemble.threshold[node]
        side, missing_low = box.get(column, _EVERYWHERE), bool(ensemble.missing_low[node])
        share = covers[low] / covers[node] if covers[node] else 0.5
        with np.errstate(over="ignore"):
            above, most = np.nextafter(threshold, _INFINITY), side.last
        if threshold == _INFINITY:  # LightGBM's way to separate missing values from all others
            most = -_INFINITY
        lower = _SplitSide(side.first, min(side.last, threshold), side.missing and missing_low, side.share * share)
        upper = _SplitSide(max(side.first, above), most, side.missing and not missing_low, side.share * (1 - share))
        reached[low], reached[high] = {**box, column: lower}, {**box, column: upper}
    return boxes
