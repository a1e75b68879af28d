"""Live performance and the price of differences, against what can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skewless.model.training.model_metrics import calibration, measure
from skewless.monitoring.audit.score_impact import score_impact


def test_a_performance_by_hand():
    labels, scores = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.4, 0.6], np.float32)
    found = measure(labels, scores)
    assert found
    assert found.auc == 0.75
    by_hand = -(math.log(0.9) + math.log(0.9) + math.log(0.4) + math.log(0.4)) / 4
    assert found.logloss == pytest.approx(by_hand, rel=1e-6)
    assert found.constant_logloss == pytest.approx(math.log(2))
    assert found.calibration_error == pytest.approx((0.1 + 0.1 + 0.6 + 0.6) / 4, rel=1e-6)
    assert "AUC 0.7500" in str(found)


def test_one_class_has_no_auc_and_no_rows_have_no_performance():
    found = measure(np.ones(3), np.full(3, 0.5, np.float32))
    assert found
    assert found.auc is None
    assert "no AUC" in str(found)
    assert measure(np.zeros(0), np.zeros(0, np.float32)) is None


def test_calibration_bins_hold_every_row_once_and_equal_scores_together():
    rng = np.random.default_rng(3)
    scores = rng.choice([0.1, 0.2, 0.2, 0.7], 1000).astype(np.float32)
    labels = (rng.random(1000) < scores).astype(float)
    bins = calibration(labels, scores)
    assert sum(one.rows for one in bins) == 1000
    assert [round(one.score, 4) for one in bins] == [0.1, 0.2, 0.7]
    assert all(abs(one.share - one.score) < 0.06 for one in bins)


def test_bins_of_distinct_scores_are_of_one_size_and_a_calibrated_models_promise_comes_true():
    rng = np.random.default_rng(2)
    scores = rng.permutation(50_000) / 50_000
    labels = (rng.random(50_000) < scores).astype(float)
    bins = calibration(labels, scores)
    assert [one.rows for one in bins] == [5_000] * 10
    assert [one.score for one in bins] == sorted(one.score for one in bins)
    for one in bins:
        assert one.share == pytest.approx(one.score, abs=0.03)


def test_a_price_by_hand():
    scores, fair = np.array([0.5, 0.25, 0.9], np.float32), np.array([0.5, 0.75, 0.8], np.float32)
    found = score_impact(scores, fair, np.array([np.nan, 1.0, 0.0]))
    assert (found.rows, found.mean, found.largest) == (2, pytest.approx(0.3), 0.5)
    assert found.logloss == pytest.approx((math.log(4) + math.log(10) - math.log(4 / 3) - math.log(5)) / 2, rel=1e-5)
    assert found.auc == 0.0
    assert "2 scores are off, by 0.3000 on average and 0.5000 at most; that cost" in str(found)
    unknown = score_impact(scores, fair, np.full(3, np.nan))
    assert (unknown.logloss, unknown.auc, unknown.served) == (None, None, None)
