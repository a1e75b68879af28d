"""Comparisons of two models: by how much, and how sure; measured on worlds of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from skewless.monitoring.retraining.champion_challenger import ChallengerComparison, compare_scores

DAY = 86_400_000_000


def world(seed: int, days: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, the scores of one who knows, of one who errs by `noise` (differently each day), and times."""
    rng = np.random.default_rng(seed)
    at = np.repeat(np.arange(days) * DAY, 50) + np.tile(np.arange(50), days)
    truth = rng.normal(0, 1, len(at))
    labels = (rng.random(len(at)) < 1 / (1 + np.exp(-truth))).astype(float)
    wrong = truth + noise * (np.repeat(rng.normal(0, 1, days), 50) + rng.normal(0, 1, len(at)))
    knows, errs = (1 / (1 + np.exp(-one)) for one in (truth, wrong))
    return labels, knows.astype(np.float32), errs.astype(np.float32), at


def asked(labels, champion, candidate, at) -> ChallengerComparison:
    found = compare_scores("held-out rows", labels, champion, candidate, at, confidence=0.95)
    assert found
    return found


def test_the_better_model_wins_and_the_worse_one_loses():
    labels, knows, errs, at = world(1, 90, 0.5)
    up, down = asked(labels, errs, knows, at), asked(labels, knows, errs, at)
    assert up.blocks == 90
    assert 0 < up.low < up.gain < up.high
    assert down.low < down.gain < down.high < 0
    assert up.gain == pytest.approx(up.champion.logloss - up.candidate.logloss, abs=1e-6)
    assert up == asked(labels, errs, knows, at), "drawn alike each time"


def test_equal_models_gain_nothing():
    labels, knows, _, at = world(1, 30, 0.5)
    same = asked(labels, knows, knows, at)
    assert (same.gain, same.low, same.high) == (0.0, 0.0, 0.0)


def test_chance_is_rarely_taken_for_a_gain():
    """Two models that err equally, by the day: at 95% about one in forty may seem better with confidence."""
    wins = 0
    for seed in range(200):
        labels, knows, first, at = world(seed, 60, 0.4)
        rng = np.random.default_rng(seed + 10_000)
        logit = np.log(knows / (1 - knows))
        other = logit + 0.4 * (np.repeat(rng.normal(0, 1, 60), 50) + rng.normal(0, 1, len(at)))
        wins += asked(labels, first, (1 / (1 + np.exp(-other))).astype(np.float32), at).low > 0
    assert wins <= 14, "more than chance gives at 99.9%"


def test_too_little_is_not_judged_and_short_windows_have_short_blocks():
    none = np.zeros(0)
    assert (
        compare_scores("x", none, none.astype(np.float32), none.astype(np.float32), none.astype(int), confidence=0.9)
        is None
    )
    labels, knows, errs, at = world(1, 2, 0.5)
    assert asked(labels, errs, knows, at).blocks == 100, "rows"
    assert asked(labels, errs, knows, np.arange(100) * DAY // 24 // 2).blocks == 50, "hours"
