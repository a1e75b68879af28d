"""What a model's card tells: what it was trained on, which inputs move its scores, how they are distributed, and whether
its probabilities are those of the test window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from skewless.contract.model.bundle import BundleModel
from skewless.contract.model.signature import Array, cells, differing
from skewless.model.distributions.baseline import Baseline, CategoryCounts, Distribution
from skewless.model.distributions.histogram import Histogram, of_categories, of_numbers

_SHUFFLES = 3
_SEED = 7


class PermutationImportance(NamedTuple):
    """How far scores move on average where one input is shuffled among the golden rows, as a share of the most."""

    name: str
    effect: float
    share: float


class DrawnDistribution(NamedTuple):
    """How an input or score is distributed in training; no picture where all rows are null or alike."""

    name: str
    nulls: float
    picture: Histogram | None


def importance(model: BundleModel, taken: Sequence[Array]) -> list[PermutationImportance]:
    """The inputs by what shuffling each of them does to the scores of some rows, most first; equal runs give equals."""
    told = _told(model, taken)
    found = {}
    for group, (whole, names) in enumerate(zip(taken, (group.names for group in model.signature.inputs), strict=True)):
        for place, name in enumerate(names):
            rng = np.random.default_rng(_SEED)
            effects = []
            for _ in range(_SHUFFLES):
                shuffled = whole.copy()
                shuffled[:, place] = whole[rng.permutation(len(whole)), place]
                effects.append(_gap(told, _told(model, [*taken[:group], shuffled, *taken[group + 1 :]])))
            found[name] = float(np.mean(effects))
    most = max(found.values(), default=0.0)
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return [PermutationImportance(name, effect, effect / most if most else 0.0) for name, effect in ordered]


def drawn(baseline: Baseline) -> tuple[list[DrawnDistribution], list[DrawnDistribution]]:
    """The inputs and the scores of a baseline as pictures."""
    scores = baseline.outputs or {"score": baseline.scores}
    return [_drawn(*one) for one in baseline.inputs.items()], [_drawn(*one) for one in scores.items()]


def _drawn(name: str, distribution: Distribution) -> DrawnDistribution:
    nulls = distribution.nulls / distribution.rows if distribution.rows else 0.0
    if isinstance(distribution, CategoryCounts):
        return DrawnDistribution(name, nulls, of_categories(distribution, {}) if distribution.counts else None)
    return DrawnDistribution(name, nulls, of_numbers(distribution, np.zeros(0, np.float64)))


def _told(model: BundleModel, taken: Sequence[Array]) -> list[Array]:
    scores = model.score(model.signature.from_arrays(taken))
    return [array for _, array in cells(model.signature.outputs, model.signature.output_arrays(scores))]


def _gap(then: Sequence[Array], now: Sequence[Array]) -> float:
    """The mean difference of all that is told; of texts the share that differs."""
    gaps = []
    for mine, theirs in zip(then, now, strict=True):
        if mine.dtype.kind != "f":
            gaps.append(float(differing(mine, theirs).mean()))
            continue
        gap = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
        gaps.append(float(np.nanmean(gap)) if not np.isnan(gap).all() else 0.0)
    return float(np.mean(gaps))
