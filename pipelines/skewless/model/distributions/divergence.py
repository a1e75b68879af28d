"""How far apart two distributions are, and how likely chance alone put them there. The statistics are scipy's.

Numbers with many values are compared with a sketch of the baseline by Kolmogorov-Smirnov, things of few values by
chi-square. Either way the population stability index and the Jensen-Shannon distance stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from skewless.model.distributions.baseline import SKETCH_ERROR, CategoryCounts, Numbers, NumberSketch, names, present

_BINS = 10
_LEAST_EXPECTED, _LEAST_POOLED = 5.0, 1.0
OTHER = "(other)"
"""What a page calls the values that a baseline does not name."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Divergence:
    """`statistic` of `test` with its p-value. `ks` is the greatest gap of two distribution functions (0 for things of
    few values), `psi` the population stability index less what chance alone gives, `js` the Jensen-Shannon distance.
    """

    test: str
    statistic: float
    p_value: float
    ks: float
    psi: float
    js: float


def of_numbers(baseline: NumberSketch, values: Numbers) -> Divergence:
    """Numbers (at least one that is not NaN) against a sketch.

    The sketch's own error is taken off the statistic before its p-value is asked for, so it raises no alarm.
    """
    there, sketch = present(values), np.array(baseline.quantiles)
    gap = float(stats.ks_2samp(there, sketch, method="asymp").statistic)
    known = baseline.rows - baseline.nulls
    size = max(round(known * len(there) / (known + len(there))), 1)
    p_value = float(stats.kstwo.sf(max(gap - SKETCH_ERROR, 0.0), size))
    edges = np.unique(np.quantile(sketch, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    then = _binned(edges, sketch) * (known / len(sketch))
    now = _binned(edges, there)
    return Divergence("Kolmogorov-Smirnov", gap, p_value, gap, _psi(then, now), _js(then, now))


def of_categories(baseline: CategoryCounts, counts: Mapping[str, int]) -> Divergence:
    """Counts by name against counted ones. Names that were rare or unknown then count together as another."""
    then, now = aligned(baseline, counts)
    pooled_then, pooled_now = _pooled(then, now)
    if len(pooled_then) < 2:
        return Divergence("chi-square", 0.0, 1.0, 0.0, 0.0, 0.0)
    found = stats.chi2_contingency(np.stack([pooled_then, pooled_now]), correction=False)
    return Divergence(
        "chi-square", float(found.statistic), float(found.pvalue), 0.0, _psi(pooled_then, pooled_now), _js(then, now)
    )


def of_shares(then: tuple[int, int], now: tuple[int, int]) -> tuple[str, float]:
    """Two shares, each as (how many, of how many): the test that fits their sizes and its p-value."""
    table = np.array([[part, whole - part] for part, whole in (then, now)], np.float64)
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return "none", 1.0
    if stats.contingency.expected_freq(table).min() < _LEAST_EXPECTED:
        return "Fisher", float(stats.fisher_exact(table.astype(np.int64)).pvalue)
    return "chi-square", float(stats.chi2_contingency(table, correction=True).pvalue)


def aligned(baseline: CategoryCounts, counts: Mapping[str, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts then and now of the baseline's names in its order, and last of all others."""
    known = list(baseline.counts)
    rest = sum(count for name, count in counts.items() if name not in baseline.counts)
    then = [*baseline.counts.values(), baseline.other]
    now = [*(counts.get(name, 0) for name in known), rest]
    return np.array(then, np.float64), np.array(now, np.float64)


def counts_of(values: Numbers) -> dict[str, int]:
    """Numbers counted by the names that a baseline gives them."""
    distinct, counts = np.unique(present(values), return_counts=True)
    return dict(zip(names(distinct), counts.tolist(), strict=True))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg: p-values that may be held against one level however many they are."""
    return stats.false_discovery_control(p_values, method="bh").tolist() if len(p_values) else []


def _binned(edges: Numbers, values: Numbers) -> NDArray[np.float64]:
    """How many values lie in each of (-inf, e0], (e0, e1], ... (en, inf)."""
    places = np.searchsorted(edges, values, side="left")
    return np.bincount(places, minlength=len(edges) + 1).astype(np.float64)


def _pooled(then: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """With all names pooled of which chi-square expects fewer than five, and that pool with the next rarest name where
    it expects less than one of it (Cochran's rule).
    """
    expected = min(then.sum(), now.sum()) * (then + now) / max(then.sum() + now.sum(), 1.0)
    order = np.argsort(expected, kind="stable")
    few = int(np.count_nonzero(expected < _LEAST_EXPECTED))
    if few and expected[order[:few]].sum() < _LEAST_POOLED:
        few += 1
    pool, kept = order[:few], np.sort(order[few:])
    pooled = [np.append(side[kept], side[pool].sum()) if few else side for side in (then, now)]
    return pooled[0], pooled[1]


def _psi(then: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Half a row is added to each bin so that an empty one stays finite. Between two samples of one distribution the
    index is (bins - 1)(1/n + 1/m) in the mean; that is taken off.
    """
    bins = len(then)
    p, q = ((side + 0.5) / (side.sum() + 0.5 * bins) for side in (then, now))
    chance = (bins - 1) * (1 / max(then.sum(), 1.0) + 1 / max(now.sum(), 1.0))
    return float(max(((q - p) * np.log(q / p)).sum() - chance, 0.0))


def _js(then: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    return float(jensenshannon(then, now, base=2)) if then.sum() and now.sum() else 0.0
