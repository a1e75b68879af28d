"""What is counted of requests on trial."""

from __future__ import annotations

import numpy as np

from skewless.contract.model.signature import ModelOutputs
from skewless.contract.rollout.rollout import GuardrailBounds
from skewless.server.metrics.canary_guardrail import CanaryCounts, buckets
from skewless.server.metrics.canary_window import SlidingCounts

SCORES = np.array([0.25, 0.5], np.float32)


def test_scores_are_counted_where_drift_is_bounded():
    drifting, other = SlidingCounts(GuardrailBounds(most_drift=0.1)), SlidingCounts(GuardrailBounds())
    for watch in (drifting, other):
        watch.answered(SCORES, [0.01, 5.0])
    assert drifting.counts(0.0) == CanaryCounts(2, 0, 1, {"score": buckets(SCORES)})
    assert other.counts(0.0) == CanaryCounts(2, 0, 1)


def test_named_outputs_are_counted_each_and_column_by_column():
    watch, other = SlidingCounts(GuardrailBounds(most_drift=0.1)), SlidingCounts(GuardrailBounds())
    labels, shares = np.array(["late", "calm"], object), np.array([[0.25, 0.75], [0.5, 0.5]])
    for one in (watch, other):
        one.answered(ModelOutputs({"label": labels, "shares": shares}), [0.01, 5.0])
        one.answered(ModelOutputs({"label": labels[:1], "shares": shares[:1]}), [0.01])
        one.failed(1)
    found = watch.counts(0.0)
    assert found.scores == {
        "label": buckets(np.array(["late", "calm", "late"], object)),
        "shares[0]": buckets(np.array([0.25, 0.5, 0.25])),
        "shares[1]": buckets(np.array([0.75, 0.5, 0.75])),
    }
    assert other.counts(0.0) == CanaryCounts(4, 1, 1) == CanaryCounts(found.requests, found.errors, found.slow)
