"""Decides whether a canary is withdrawn, from the counts of a window and the bounds of the rollout.

A share of requests exceeds its bound where it is greater than the bound, greater than the champion's share in the same
window, and chance is an unlikely reason: by Chernoff's bound, a rate of at most p gives k or more of n with a
probability of at most exp(-n KL(k/n, p)). Two distributions of scores differ by more than a distance where they do so
beyond what the Dvoretzky-Kiefer-Wolfowitz inequality attributes to chance; a model with several values a row is tested
on each of them, with its part of the error probability. Both tests hold for every sample size and favour the canary.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from skewless.contract.model.signature import SCORE, Array
from skewless.contract.rollout.rollout import GuardrailBounds

_SIGN = np.uint32(1 << 31)
_COARSE = 16


@dataclass(frozen=True, slots=True)
class CanaryCounts:
    """Requests of one version: all of them, the failed, the answered that were slow; and `scores`: by output, the number
    of values in each bucket.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    scores: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def __add__(self, other: CanaryCounts) -> CanaryCounts:
        scores = dict(self.scores)
        for name, counted in other.scores.items():
            scores[name] = merged(scores[name], counted) if name in scores else counted
        return CanaryCounts(self.requests + other.requests, self.errors + other.errors, self.slow + other.slow, scores)


def merged(some: Mapping[int, int], more: Mapping[int, int]) -> dict[int, int]:
    counts = dict(some)
    for bucket, count in more.items():
        counts[bucket] = counts.get(bucket, 0) + count
    return counts


def buckets(values: Array) -> dict[int, int]:
    """How many of n values fall into each bucket. Buckets are ordered as their numbers are, which differ by less than
    1 % within one; NaN is beyond infinity. Equal strings share a bucket; the order of those means nothing.
    """
    if values.dtype.kind == "O":
        return Counter(crc32(text.encode()) >> _COARSE for text in values.tolist())
    with np.errstate(over="ignore"):
        scores = values.astype(np.float32)
    bits = (scores + np.float32(0.0)).view(np.uint32)  # so that both zeros are equal
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN) >> _COARSE
    places, counts = np.unique(ordered, return_counts=True)
    return dict(zip(places.tolist(), counts.tolist(), strict=True))


def verdict(bounds: GuardrailBounds, champion: CanaryCounts, canary: CanaryCounts) -> str | None:
    """Why the canary is withdrawn, or None."""
    if canary.requests < bounds.least_requests:
        return None
    shares = (
        (bounds.most_errors, canary.errors, champion.errors, "failed"),
        (bounds.most_slow, canary.slow, champion.slow, f"took more than {bounds.slow_s:g} s"),
    )
    for most, of_canary, of_champion, what in shares:
        usual = of_champion / champion.requests if champion.requests else 0.0
        if most is not None and _beyond(of_canary, canary.requests, max(most, usual), bounds.confidence):
            return (
                f"{of_canary} of its {canary.requests} requests {what} (champion: {of_champion} of "
                f"{champion.requests}; allowed: {most:.3g})"
            )
    return _drifted(bounds, champion, canary)


def _beyond(count: int, of: int, limit: float, confidence: float) -> bool:
    share = count / of
    return share > limit and of * _divergence(share, limit) > -math.log1p(-confidence)


def _divergence(share: float, limit: float) -> float:
    """Kullback-Leibler divergence of two coins, `share` > `limit`."""
    if limit <= 0.0:
        return math.inf
    rest = (1 - share) * math.log((1 - share) / (1 - limit)) if share < 1.0 else 0.0
    return share * math.log(share / limit) + rest


def _drifted(bounds: GuardrailBounds, champion: CanaryCounts, canary: CanaryCounts) -> str | None:
    if bounds.most_drift is None:
        return None
    both = sorted(champion.scores.keys() & canary.scores.keys())
    for name in both:
        counted = champion.scores[name], canary.scores[name]
        sizes = [sum(histogram.values()) for histogram in counted]
        if min(sizes) < bounds.least_requests:
            continue
        apart, doubt = distance(*counted), (1 - bounds.confidence) / len(both)
        chance = sum(math.sqrt(math.log(2 / doubt) / (2 * size)) for size in sizes)
        if apart - chance > bounds.most_drift:
            what = "scores" if name == SCORE else f"values of {name}"
            return (
                f"its {sizes[1]} {what} are {apart:.3f} off the champion's {sizes[0]} (Kolmogorov-Smirnov, "
                f"{chance:.3f} of it may be chance; allowed: {bounds.most_drift:.3g})"
            )
    return None


def distance(first: Mapping[int, int], second: Mapping[int, int]) -> float:
    """Kolmogorov-Smirnov distance of two non-empty distributions over buckets."""
    every = sorted(first.keys() | second.keys())
    rising = []
    for histogram in (first, second):
        counts = np.array([histogram.get(bucket, 0) for bucket in every], np.float64)
        rising.append(np.cumsum(counts) / counts.sum())
    return float(np.abs(rising[0] - rising[1]).max())
