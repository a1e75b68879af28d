"""Counts of a canary and its champion during the trial, in slices of a sliding window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import reduce
from operator import add

from skewless.contract.model.signature import SCORE, Array, ModelOutputs, Scores
from skewless.contract.rollout.rollout import GuardrailBounds
from skewless.server.metrics.canary_guardrail import CanaryCounts, buckets, verdict


class SlidingCounts:
    """Counts one version's requests of the last `window_s` seconds. Only the event loop may call it."""

    def __init__(self, bounds: GuardrailBounds) -> None:
        self._slow_s, self._window_s = bounds.slow_s, bounds.window_s
        self._counts_scores = bounds.most_drift is not None
        self._now = CanaryCounts()
        self._slices: deque[tuple[float, CanaryCounts]] = deque()

    def answered(self, scores: Scores, seconds: Sequence[float]) -> None:
        """Count answered requests, and their scores where drift is bounded."""
        slow = sum(duration > self._slow_s for duration in seconds)
        outputs = _output_columns(scores) if self._counts_scores else {}
        self._now += CanaryCounts(len(seconds), 0, slow, {name: buckets(values) for name, values in outputs.items()})

    def failed(self, requests: int) -> None:
        self._now += CanaryCounts(requests, requests)

    def counts(self, at: float) -> CanaryCounts:
        """Counts since `at` - `window_s`, as exact as the slices: each call of this ends one."""
        self._slices.append((at, self._now))
        self._now = CanaryCounts()
        while self._slices[0][0] <= at - self._window_s:
            self._slices.popleft()
        return reduce(add, (counts for _, counts in self._slices), CanaryCounts())


def _output_columns(scores: Scores) -> dict[str, Array]:
    """The outputs for n rows as columns of n values by name; an output of several values is split into its columns."""
    if not isinstance(scores, ModelOutputs):
        return {SCORE: scores}
    flat = {}
    for name, array in scores.arrays.items():
        if array.ndim == 1:
            flat[name] = array
        else:
            flat |= {f"{name}[{place}]": array[:, place] for place in range(array.shape[1])}
    return flat


class CanaryWindow:
    """The counts of a canary and of its champion."""

    def __init__(self, bounds: GuardrailBounds) -> None:
        self._bounds = bounds
        self.champion, self.canary = SlidingCounts(bounds), SlidingCounts(bounds)

    def verdict(self, at: float) -> str | None:
        """Why the canary must be withdrawn, by this process's counts, or None. `at`: seconds of a monotonic clock."""
        return verdict(self._bounds, self.champion.counts(at), self.canary.counts(at))
