"""What each column contributes to the raw scores of a tree model: Shapley values, exact, in float64.

The game is TreeSHAP's, path dependent (Lundberg et al. 2018, Algorithm 1, LightGBM's `pred_contrib`): the worth of a set
of columns is what the trees tell on average where only these columns are known, every other split sending on its share
of the training rows to either side. A leaf adds to it its weight times, for each column of its box, 1 or 0 (known:
inside or not) or the column's share z (unknown). The Shapley value of such a product needs no sum over sets: a set of s
of the d - 1 other columns weighs s! (d - 1 - s)! / d!, which is the integral of t^s (1 - t)^(d-1-s) from 0 to 1, so

    contribution of i = weight (o_i - z_i) * integral of the product over j != i of (o_j t + z_j (1 - t))

with o = 1 inside, else 0. That is a polynomial of degree d - 1, which Gauss-Legendre quadrature integrates exactly with
ceil(d / 2) points. All its terms are positive: nothing cancels within a leaf, however deep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skewless.contract.errors import InvalidPlan
from skewless.contract.model.signature import ModelSignature
from skewless.contract.model.tree_leaves import LEAVES, Link, TreeLeaves, parse_leaves

Floats = NDArray[np.float64]
_VALUES_AT_ONCE = 1 << 20
_ROUNDINGS = 8
"""Roundings of a raw score beside that of each tree."""
_LINK_BOUND = 1e-6
"""How far a float32 link may be off, relatively."""


class ShapleyValues(NamedTuple):
    """Of n rows: `base` (targets), `raw` (n x targets) and `values` (n x targets x columns): for each row and target
    the base and the values sum up to the raw score, within rounding of float64.
    """

    base: Floats
    raw: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class _LeafBoxes:
    """Leaves whose boxes have equally many columns (d), at k points t: arrays are d x leaves, or d x k x leaves.

    `inside` and `outside` are a column's factor (o t + z (1 - t)); `gain` is what (o - z) times the others' product is
    to the product of all for one that lies inside, `loss` (k) for one that does not, both times the points' weights.
    """

    columns: NDArray[np.int32]
    first: NDArray[np.float32]
    last: NDArray[np.float32]
    missing: NDArray[np.bool_]
    inside: Floats
    outside: Floats
    gain: Floats
    loss: Floats
    weights: Floats
    """leaves x targets."""

    def reached(self, matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which values lie in the boxes: n x d x leaves."""
        values = matrix[:, self.columns]
        result: NDArray[np.bool_] = (values >= self.first) & (values <= self.last) | (self.missing & np.isnan(values))
        return result

    def contributions(self, reached: NDArray[np.bool_]) -> Floats:
        """Of leaves of weight 1: n x d x leaves."""
        product = np.where(reached[:, 0, None], self.inside[0], self.outside[0])
        for place in range(1, len(self.columns)):
            product *= np.where(reached[:, place, None], self.inside[place], self.outside[place])
        lost = np.einsum("nkl,k->nl", product, self.loss)
        gained = [np.einsum("nkl,kl->nl", product, gain) for gain in self.gain]
        return np.where(reached, np.stack(gained, axis=1), lost[:, None])


class ShapleyExplainer:
    """The leaves of a model of so many columns, compiled."""

    def __init__(self, leaves: TreeLeaves, columns: int) -> None:
        self.head = leaves.head
        self._targets, self._width = len(leaves.head.base), columns
        weights = _weights(leaves)
        lengths = leaves.splits.lengths
        self._always = np.array(leaves.head.base, np.float64) + weights[lengths == 0].sum(axis=0)
        self.base = self._always.copy()
        self._boxes: list[_LeafBoxes] = []
        for length in np.unique(lengths[lengths > 0]).tolist():
            mine = np.flatnonzero(lengths == length)
            at = leaves.splits.ends[mine] + np.arange(length)[:, None]
            boxes = _boxes({name: array[at] for name, array in leaves.splits.arrays.items()}, weights[mine])
            self.base += leaves.splits.arrays["share"][at].prod(axis=0) @ boxes.weights
            self._boxes.append(boxes)
        self._compile()

    def _compile(self) -> None:
        """Where each contribution of a leaf goes: sorted by target and column, so that those of a cell stand together."""
        columns = [np.zeros(0, np.int64), *(boxes.columns.astype(np.int64).ravel() for boxes in self._boxes)]
        weights = [np.tile(boxes.weights.T, (1, len(boxes.columns))) for boxes in self._boxes]
        self._size = sum(len(explainer) for explainer in columns)
        every = np.concatenate([np.zeros((self._targets, 0)), *weights], axis=1)
        cells = np.arange(self._targets)[:, None] * self._width + np.concatenate(columns)
        target, place = np.nonzero(every)
        order = np.argsort(cells[target, place], kind="stable")
        self._from, self._times = place[order], every[target, place][order]
        self._cells, self._starts = np.unique(cells[target, place][order], return_index=True)

    def of(self, matrix: NDArray[np.float32]) -> ShapleyValues:
        """The contributions of n rows of the model's input."""
        parts = [self._block(some) for some in self._blocks(matrix)]
        raw = [np.zeros((0, self._targets)), *(raw for raw, _ in parts)]
        values = [np.zeros((0, self._targets, self._width)), *(values for _, values in parts)]
        return ShapleyValues(self.base, np.concatenate(raw), np.concatenate(values))

    def raw(self, matrix: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """The raw scores of n rows (n x targets), and the sums of all that was added to get them, by its size."""
        raw, size = (np.tile(explainer, (len(matrix), 1)) for explainer in (self._always, np.abs(self._always)))
        begin = 0
        for some in self._blocks(matrix):
            end = begin + len(some)
            for boxes in self._boxes:
                whole = boxes.reached(some).all(axis=1).astype(np.float64)
                raw[begin:end] += whole @ boxes.weights
                size[begin:end] += whole @ np.abs(boxes.weights)
            begin = end
        return raw, size

    def _blocks(self, matrix: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """So many rows at a time that what lies between takes some megabytes, whatever the model."""
        at_once = max(1, _VALUES_AT_ONCE // max(self._size, 1))
        return [matrix[start : start + at_once] for start in range(0, len(matrix), at_once)]

    def _block(self, matrix: NDArray[np.float32]) -> tuple[Floats, Floats]:
        raw, units = np.tile(self._always, (len(matrix), 1)), [np.zeros((len(matrix), 0))]
        for boxes in self._boxes:
            reached = boxes.reached(matrix)
            raw += reached.all(axis=1).astype(np.float64) @ boxes.weights
            units.append(boxes.contributions(reached).reshape(len(matrix), -1))
        values = np.zeros((len(matrix), self._targets * self._width))
        if len(self._cells):
            added = np.concatenate(units, axis=1)[:, self._from] * self._times
            values[:, self._cells] = np.add.reduceat(added, self._starts, axis=1)
        return raw, values.reshape(len(matrix), self._targets, self._width)


def contributions_of(signature: ModelSignature, content: bytes) -> ShapleyExplainer:
    """What a model's file of leaves tells. Raises: InvalidPlan where they are no leaves, or of another model."""
    if len(signature.inputs) != 1 or signature.inputs[0].kind != "float32":
        raise InvalidPlan(LEAVES, "its model takes something else than one float32 matrix")
    columns = len(signature.inputs[0].names)
    return ShapleyExplainer(parse_leaves(content, columns), columns)


def linked(link: Link, raw: Floats) -> Floats:
    """What a model tells where its raw scores (n x targets) are these."""
    with np.errstate(over="ignore"):
        result = raw
        if link == "logistic":
            result = 1 / (1 + np.exp(-raw))
        elif link == "exp":
            result = np.exp(raw)
        elif link == "softmax":
            powers = np.exp(raw - raw.max(axis=1, keepdims=True))
            result = powers / powers.sum(axis=1, keepdims=True)
    return result


def beyond_rounding(
    explainer: ShapleyExplainer, matrix: NDArray[np.float32], scores: NDArray[np.floating], column: int | None
) -> float:
    """How far what the leaves give is off what the model told of n rows (n x width), but for what its float32 rounds.

    `column` is the one of the output that was told where one was. Of two classes with one raw score it is the second's.
    """
    raw, size = explainer.raw(matrix)
    now = linked(explainer.head.link, raw)
    if now.shape[1] == 1:
        scores = scores[:, -1:]
    elif scores.shape[1] == 1 and column is not None:
        now = now[:, column : column + 1]
    slack: Floats = (explainer.head.trees + _ROUNDINGS) * 2.0**-24 * size.max(axis=1, keepdims=True, initial=0.0)
    gaps = np.abs(now - scores) - (slack * np.maximum(1.0, np.abs(now)) + _LINK_BOUND * np.abs(now))
    return float(np.max(gaps, initial=0.0)) if now.shape == scores.shape and not np.isnan(gaps).any() else np.inf


def _weights(leaves: TreeLeaves) -> Floats:
    """Leaves x targets."""
    result = np.zeros((len(leaves.adds.ends) - 1, len(leaves.head.base)))
    leaf = np.repeat(np.arange(len(result)), leaves.adds.lengths)
    scaled = leaves.adds.arrays["weights"].astype(np.float64) * leaves.head.scale
    np.add.at(result, (leaf, leaves.adds.arrays["targets"]), scaled)
    return result


def _boxes(splits: dict[str, NDArray[np.generic]], weights: Floats) -> _LeafBoxes:
    points, shares = np.polynomial.legendre.leggauss(-(-len(splits["columns"]) // 2))
    t, weight = (points + 1) / 2, shares / 2
    z = splits["share"][:, None].astype(np.float64)
    outside = z * (1 - t[:, None])
    inside = outside + t[:, None]
    return _LeafBoxes(
        columns=splits["columns"].astype(np.int32),
        first=splits["first"].astype(np.float32),
        last=splits["last"].astype(np.float32),
        missing=splits["missing"].astype(np.bool_),
        inside=inside,
        outside=outside,
        gain=(1 - z) / inside * weight[:, None],
        loss=-weight / (1 - t),
        weights=weights,
    )
