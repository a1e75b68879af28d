"""Two distributions as bars beside each other, for a page to draw."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from skewless.model.distributions.baseline import CategoryCounts, Numbers, NumberSketch
from skewless.model.distributions.divergence import OTHER, aligned

_BARS = 24
_NAMES = 32
"""All that a baseline counts of numbers, the most frequent of a key's values."""


class Histogram(msgspec.Struct, frozen=True):
    """Shares then and now by bar. Bars are named, or numbers between `edges` (one more than bars); what lies beyond the
    edges counts in the outermost bars.
    """

    names: tuple[str, ...]
    edges: tuple[float, ...]
    then: tuple[float, ...]
    now: tuple[float, ...]


def of_numbers(baseline: NumberSketch, values: Numbers) -> Histogram | None:
    """Numbers in even bars over all but the outermost hundredths of either side; None where there are none."""
    sketch = np.array(baseline.quantiles)
    sides = [side for side in (sketch, values) if len(side)]
    if not sides:
        return None
    low = min(float(np.quantile(side, 0.01)) for side in sides)
    high = max(float(np.quantile(side, 0.99)) for side in sides)
    if not high > low or not np.isfinite(high - low):
        return None
    edges = np.linspace(low, high, _BARS + 1)
    then, now = (np.histogram(np.clip(side, low, high), edges)[0] for side in (sketch, values))
    return Histogram((), tuple(edges.tolist()), _shares(then), _shares(now))


def of_categories(baseline: CategoryCounts, counts: Mapping[str, int]) -> Histogram:
    """The baseline's most frequent names and all others together; numbers in their order."""
    then, now = aligned(baseline, counts)
    known = list(baseline.counts)
    often = sorted(range(len(known)), key=lambda place: -then[place])[:_NAMES]
    shown = sorted(often) if len(often) == len(known) else often
    rest = [place for place in range(len(then)) if place not in set(shown)]
    named = (*(known[place] for place in shown), OTHER)
    sides = [np.append(side[shown], side[rest].sum()) for side in (then, now)]
    return Histogram(named, (), _shares(sides[0]), _shares(sides[1]))


def _shares(counts: np.ndarray) -> tuple[float, ...]:
    total = float(counts.sum())
    return tuple((counts / total if total else counts * 0.0).tolist())
