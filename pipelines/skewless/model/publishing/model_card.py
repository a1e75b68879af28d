"""The content of a model's card: which inputs move its scores, and how inputs and scores are distributed."""

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
    """The mean change of scores when one input is shuffled among the golden rows; `share` is relative to the greatest effect."""

    name: str
    effect: float
    share: float


class DrawnDistribution(NamedTuple):
    """The distribution of an input or score in training; `histogram` is None where all rows are null or equal."""

    name: str
    nulls: float
    histogram: Histogram | None


def importance(model: BundleModel, inputs: Sequence[Array]) -> list[PermutationImportance]:
    """The permutation importance of each input, the greatest first. `inputs` are some rows, one array per column group;
    equal runs give equal results.
    """
    scores = _scores(model, inputs)
    effect_of = {}
    for group, (columns, names) in enumerate(
        zip(inputs, (group.names for group in model.signature.inputs), strict=True)
    ):
        for index, name in enumerate(names):
            rng = np.random.default_rng(_SEED)
            effects = []
            for _ in range(_SHUFFLES):
                shuffled = columns.copy()
                shuffled[:, index] = columns[rng.permutation(len(columns)), index]
                effects.append(_gap(scores, _scores(model, [*inputs[:group], shuffled, *inputs[group + 1 :]])))
            effect_of[name] = float(np.mean(effects))
    most = max(effect_of.values(), default=0.0)
    ordered = sorted(effect_of.items(), key=lambda item: (-item[1], item[0]))
    return [PermutationImportance(name, effect, effect / most if most else 0.0) for name, effect in ordered]


def drawn_distributions(baseline: Baseline) -> tuple[list[DrawnDistribution], list[DrawnDistribution]]:
    """The inputs and the scores of a baseline with their histograms."""
    scores = baseline.outputs or {"score": baseline.scores}
    return [_drawn(*item) for item in baseline.inputs.items()], [_drawn(*item) for item in scores.items()]


def _drawn(name: str, distribution: Distribution) -> DrawnDistribution:
    nulls = distribution.nulls / distribution.rows if distribution.rows else 0.0
    if isinstance(distribution, CategoryCounts):
        return DrawnDistribution(name, nulls, of_categories(distribution, {}) if distribution.counts else None)
    return DrawnDistribution(name, nulls, of_numbers(distribution, np.zeros(0, np.float64)))


def _scores(model: BundleModel, inputs: Sequence[Array]) -> list[Array]:
    scores = model.score(model.signature.from_arrays(inputs))
    return [array for _, array in cells(model.signature.outputs, model.signature.output_arrays(scores))]


def _gap(before: Sequence[Array], after: Sequence[Array]) -> float:
    """The mean difference over all scores; for texts, the share that differs."""
    gaps = []
    for old, new in zip(before, after, strict=True):
        if old.dtype.kind != "f":
            gaps.append(float(differing(old, new).mean()))
            continue
        gap = np.abs(old.astype(np.float64) - new.astype(np.float64))
        gaps.append(float(np.nanmean(gap)) if not np.isnan(gap).all() else 0.0)
    return float(np.mean(gaps))
