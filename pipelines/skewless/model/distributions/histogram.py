"""Two distributions in common bars, for a page to draw."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from skewless.model.distributions.baseline import CategoryCounts, Numbers, NumberSketch
from skewless.model.distributions.divergence import OTHER, aligned

_BARS = 24
_NAMES = 32
"""At most so many named bars: all values that a baseline counts of numbers, the most frequent values of a key."""


class Histogram(msgspec.Struct, frozen=True):
    """The shares of the baseline and of the served rows by bar. Bars have names, or lie between `edges` (one more than bars);
    values beyond the edges count in the outermost bars.
    """

    names: tuple[str, ...]
    edges: tuple[float, ...]
    baseline: tuple[float, ...] = msgspec.field(name="then")
    served: tuple[float, ...] = msgspec.field(name="now")


def of_numbers(baseline: NumberSketch, values: Numbers) -> Histogram | None:
    """Numbers in bars of equal width from the 1st to the 99th percentile; None without numbers, or where they are all equal."""
    sketch = np.array(baseline.quantiles)
    sides = [side for side in (sketch, values) if len(side)]
    if not sides:
        return None
    low = min(float(np.quantile(side, 0.01)) for side in sides)
    high = max(float(np.quantile(side, 0.99)) for side in sides)
    if not high > low or not np.isfinite(high - low):
        return None
    edges = np.linspace(low, high, _BARS + 1)
    before, after = (np.histogram(np.clip(side, low, high), edges)[0] for side in (sketch, values))
    return Histogram((), tuple(edges.tolist()), _shares(before), _shares(after))


def of_categories(baseline: CategoryCounts, counts: Mapping[str, int]) -> Histogram:
    """The baseline's most frequent names, in its order where it has few, and all others together in a last bar."""
    before, after = aligned(baseline, counts)
    names = list(baseline.counts)
    frequent = sorted(range(len(names)), key=lambda index: -before[index])[:_NAMES]
    drawn = sorted(frequent) if len(frequent) == len(names) else frequent
    rest = [index for index in range(len(before)) if index not in set(drawn)]
    bars = (*(names[index] for index in drawn), OTHER)
    sides = [np.append(side[drawn], side[rest].sum()) for side in (before, after)]
    return Histogram(bars, (), _shares(sides[0]), _shares(sides[1]))


def _shares(counts: np.ndarray) -> tuple[float, ...]:
    total = float(counts.sum())
    return tuple((counts / total if total else counts * 0.0).tolist())
