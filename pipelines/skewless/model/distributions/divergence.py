"""The divergence of two distributions, and the p-value of that divergence. The statistics are scipy's.

Numbers of many values are compared with a sketch of the baseline by Kolmogorov-Smirnov, columns of few values by
chi-square. Both come with the population stability index and the Jensen-Shannon distance.
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
"""The name on a page for values that the baseline does not name."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The `statistic` of `test` with its p-value. `ks` is the greatest gap of two distribution functions (0 for columns of
    few values), `psi` the population stability index minus its expectation by chance, `js` the Jensen-Shannon distance.
    """

    test: str
    statistic: float
    p_value: float
    ks: float
    psi: float
    js: float


def of_numbers(baseline: NumberSketch, values: Numbers) -> Divergence:
    """Numbers (at least one that is not NaN) against a sketch.

    The sketch's own error is subtracted from the statistic before its p-value is computed, so it cannot cause an alarm.
    """
    served, sketch = present(values), np.array(baseline.quantiles)
    gap = float(stats.ks_2samp(served, sketch, method="asymp").statistic)
    known = baseline.rows - baseline.nulls
    size = max(round(known * len(served) / (known + len(served))), 1)
    p_value = float(stats.kstwo.sf(max(gap - SKETCH_ERROR, 0.0), size))
    edges = np.unique(np.quantile(sketch, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    then = _binned(edges, sketch) * (known / len(sketch))
    now = _binned(edges, served)
    return Divergence("Kolmogorov-Smirnov", gap, p_value, gap, _psi(then, now), _js(then, now))


def of_categories(baseline: CategoryCounts, counts: Mapping[str, int]) -> Divergence:
    """Counts by name against the baseline's. Names that are rare in the baseline, or unknown to it, are pooled."""
    then, now = aligned(baseline, counts)
    pooled_then, pooled_now = _pooled(then, now)
    if len(pooled_then) < 2:
        return Divergence("chi-square", 0.0, 1.0, 0.0, 0.0, 0.0)
    result = stats.chi2_contingency(np.stack([pooled_then, pooled_now]), correction=False)
    return Divergence(
        "chi-square", float(result.statistic), float(result.pvalue), 0.0, _psi(pooled_then, pooled_now), _js(then, now)
    )


def of_shares(then: tuple[int, int], now: tuple[int, int]) -> tuple[str, float]:
    """Compare two shares, each as (count, total): the test that suits their sizes, and its p-value."""
    table = np.array([[count, total - count] for count, total in (then, now)], np.float64)
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return "none", 1.0
    if stats.contingency.expected_freq(table).min() < _LEAST_EXPECTED:
        return "Fisher", float(stats.fisher_exact(table.astype(np.int64)).pvalue)
    return "chi-square", float(stats.chi2_contingency(table, correction=True).pvalue)


def aligned(baseline: CategoryCounts, counts: Mapping[str, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The baseline's and the new counts of the baseline's names, in its order; the last element counts all other names."""
    known = list(baseline.counts)
    rest = sum(count for name, count in counts.items() if name not in baseline.counts)
    then = [*baseline.counts.values(), baseline.other]
    now = [*(counts.get(name, 0) for name in known), rest]
    return np.array(then, np.float64), np.array(now, np.float64)


def counts_of(values: Numbers) -> dict[str, int]:
    """Counts of numbers by their names in a baseline."""
    distinct, counts = np.unique(present(values), return_counts=True)
    return dict(zip(names(distinct), counts.tolist(), strict=True))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg-corrected p-values, which can be compared with one level however many they are."""
    return stats.false_discovery_control(p_values, method="bh").tolist() if len(p_values) else []


def _binned(edges: Numbers, values: Numbers) -> NDArray[np.float64]:
    """How many values lie in each of (-inf, e0], (e0, e1], ... (en, inf)."""
    bins = np.searchsorted(edges, values, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)


def _pooled(then: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pool all names whose expected count by chi-square is below five; and the pool with the next rarest name where its
    expected count is below one (Cochran's rule).
    """
    expected = min(then.sum(), now.sum()) * (then + now) / max(then.sum() + now.sum(), 1.0)
    order = np.argsort(expected, kind="stable")
    few = int(np.count_nonzero(expected < _LEAST_EXPECTED))
    if few and expected[order[:few]].sum() < _LEAST_POOLED:
        few += 1
    pool, others = order[:few], np.sort(order[few:])
    pooled = [np.append(side[others], side[pool].sum()) if few else side for side in (then, now)]
    return pooled[0], pooled[1]


def _psi(then: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """The population stability index. Half a row is added to each bin so that an empty bin stays finite. Between two samples
    of one distribution the index is (bins - 1)(1/n + 1/m) on average; that is subtracted.
    """
    bins = len(then)
    p, q = ((side + 0.5) / (side.sum() + 0.5 * bins) for side in (then, now))
    chance = (bins - 1) * (1 / max(then.sum(), 1.0) + 1 / max(now.sum(), 1.0))
    return float(max(((q - p) * np.log(q / p)).sum() - chance, 0.0))


def _js(then: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    return float(jensenshannon(then, now, base=2)) if then.sum() and now.sum() else 0.0
