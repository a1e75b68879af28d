"""Whether a canary is withdrawn: counts of some window, and the bounds of the rollout.

A share of requests is beyond its bound where it is greater, greater than the champion's in the same window, and chance
is an unlikely reason: by Chernoff's bound, a rate of at most p shows k or more of n with a probability of at most
exp(-n KL(k/n, p)). Two distributions of scores differ by more than a distance where that holds beyond what the
Dvoretzky-Kiefer-Wolfowitz inequality leaves to chance. Both hold for every sample size, and err on the side of the
canary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serving.contract.rollout import Bounds

_SIGN = np.uint32(1 << 31)
_COARSE = 16


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one version: how many failed, how many of the answered were slow, and scores by bucket."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    scores: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        scores = dict(self.scores)
        for bucket, count in other.scores.items():
            scores[bucket] = scores.get(bucket, 0) + count
        return Counts(self.requests + other.requests, self.errors + other.errors, self.slow + other.slow, scores)


def buckets(scores: NDArray[np.float32]) -> dict[int, int]:
    """How many scores fall into each bucket. Buckets are ordered like their scores, which differ by less than 1 % in
    one; NaN is beyond infinity.
    """
    bits = (scores + np.float32(0.0)).view(np.uint32)  # so that the two zeros are one
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN) >> _COARSE
    found, counts = np.unique(ordered, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def verdict(bounds: Bounds, champion: Counts, canary: Counts) -> str | None:
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


def _drifted(bounds: Bounds, champion: Counts, canary: Counts) -> str | None:
    sizes = [sum(one.scores.values()) for one in (champion, canary)]
    if bounds.most_drift is None or min(sizes) < bounds.least_requests:
        return None
    apart = distance(champion.scores, canary.scores)
    chance = sum(math.sqrt(math.log(2 / (1 - bounds.confidence)) / (2 * size)) for size in sizes)
    if apart - chance <= bounds.most_drift:
        return None
    return (
        f"its {sizes[1]} scores are {apart:.3f} off the champion's {sizes[0]} (Kolmogorov-Smirnov, {chance:.3f} of it "
        f"may be chance; allowed: {bounds.most_drift:.3g})"
    )


def distance(first: Mapping[int, int], second: Mapping[int, int]) -> float:
    """Kolmogorov-Smirnov distance of two non-empty distributions over buckets."""
    every = sorted(first.keys() | second.keys())
    rising = []
    for one in (first, second):
        counts = np.array([one.get(bucket, 0) for bucket in every], np.float64)
        rising.append(np.cumsum(counts) / counts.sum())
    return float(np.abs(rising[0] - rising[1]).max())
