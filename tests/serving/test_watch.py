"""What is counted of requests on trial."""

from __future__ import annotations

import numpy as np

from serving.contract.form import Outputs
from serving.contract.rollout import Bounds
from serving.contract.trial import Counts, buckets
from serving.watch import Watch

SCORES = np.array([0.25, 0.5], np.float32)


def test_scores_are_counted_where_drift_is_bounded_and_there_is_one_a_row():
    drifting, other = Watch(Bounds(most_drift=0.1)), Watch(Bounds())
    for watch in (drifting, other):
        watch.answered(SCORES, [0.01, 5.0])
    assert drifting.counts(0.0) == Counts(2, 0, 1, buckets(SCORES))
    assert other.counts(0.0) == Counts(2, 0, 1)


def test_named_outputs_are_watched_for_errors_and_slowness_alone():
    watch = Watch(Bounds(most_drift=0.1))
    watch.answered(Outputs({"label": np.array(["late", "calm"], object), "share": SCORES}), [0.01, 5.0])
    watch.failed(1)
    assert watch.counts(0.0) == Counts(3, 1, 1)
