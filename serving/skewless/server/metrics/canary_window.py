"""What is counted of a canary and its champion while the trial lasts, in slices of a sliding window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import reduce
from operator import add

from skewless.contract.model.signature import SCORE, Array, ModelOutputs, Scores
from skewless.contract.rollout.rollout import GuardrailBounds
from skewless.server.metrics.canary_guardrail import CanaryCounts, buckets, verdict


class SlidingCounts:
    """Counts one version's requests of the last `window_s` seconds. The event loop's alone; time is an argument."""

    def __init__(self, bounds: GuardrailBounds) -> None:
        self._slow_s, self._window_s = bounds.slow_s, bounds.window_s
        self._scores_count = bounds.most_drift is not None
        self._now = CanaryCounts()
        self._slices: deque[tuple[float, CanaryCounts]] = deque()

    def answered(self, scores: Scores, seconds: Sequence[float]) -> None:
        """Count requests, and what they were told where drift is bounded."""
        slow = sum(took > self._slow_s for took in seconds)
        told = _told(scores) if self._scores_count else {}
        self._now += CanaryCounts(len(seconds), 0, slow, {name: buckets(values) for name, values in told.items()})

    def failed(self, requests: int) -> None:
        self._now += CanaryCounts(requests, requests)

    def counts(self, at: float) -> CanaryCounts:
        """What happened after `at` minus the window, to the slice; a slice ends when somebody asks."""
        self._slices.append((at, self._now))
        self._now = CanaryCounts()
        while self._slices[0][0] <= at - self._window_s:
            self._slices.popleft()
        return reduce(add, (counts for _, counts in self._slices), CanaryCounts())


def _told(scores: Scores) -> dict[str, Array]:
    """What was told of n rows: n values by name; those of one output that stand side by side are told apart."""
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
    """A canary beside its champion."""

    def __init__(self, bounds: GuardrailBounds) -> None:
        self._bounds = bounds
        self.champion, self.canary = SlidingCounts(bounds), SlidingCounts(bounds)

    def verdict(self, at: float) -> str | None:
        """Why the canary must go, by what this process has seen, or None. `at` is in seconds, of any monotonic clock."""
        return verdict(self._bounds, self.champion.counts(at), self.canary.counts(at))
