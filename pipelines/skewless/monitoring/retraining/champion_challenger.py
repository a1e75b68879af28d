"""Compares two models on the same rows: the gain in logloss and its confidence interval, by scipy's bootstrap.

Rows that are close in time are alike, so the bootstrap resamples blocks of time, not single rows.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.model.training.model_metrics import ModelPerformance, measure
from skewless.monitoring.audit.replay import Scores
from skewless.monitoring.audit.score_impact import Labels

_HOUR = 3_600_000_000
_BLOCKS = (24 * _HOUR, 6 * _HOUR, _HOUR)
_LEAST_BLOCKS = 20
_RESAMPLES = 2_000
_SEED = 7


class ChallengerComparison(msgspec.Struct, frozen=True):
    """`gain` is the champion's mean logloss minus the candidate's; `low` and `high` are the ends of its confidence interval."""

    where: str
    champion: ModelPerformance
    candidate: ModelPerformance
    gain: float
    low: float
    high: float
    confidence: float
    blocks: int

    def __str__(self) -> str:
        return (
            f"{self.where}: logloss {self.champion.logloss:.4f} -> {self.candidate.logloss:.4f}, a gain of "
            f"{self.gain:+.5f} ({self.confidence:.0%}: {self.low:+.5f} to {self.high:+.5f}) on "
            f"{self.champion.rows:,} rows"
        )


def compare_scores(
    where: str, labels: Labels, champion: Scores, candidate: Scores, at: UtcMicrosArray, *, confidence: float
) -> ChallengerComparison | None:
    """Compare scores of the same n rows; None where they are in fewer than 2 blocks of time. `at` is in microseconds."""
    blocks = _blocks(at)
    counts = np.bincount(blocks).astype(float)
    before, after = measure(labels, champion), measure(labels, candidate)
    if len(counts) < 2 or before is None or after is None:
        return None
    sums = np.bincount(blocks, _losses(labels, champion) - _losses(labels, candidate))
    if not sums.any():
        low = high = 0.0
    else:
        interval = stats.bootstrap(
            (sums, counts),
            lambda some, many, axis: some.sum(axis) / many.sum(axis),
            n_resamples=_RESAMPLES,
            batch=100,
            paired=True,
            vectorized=True,
            confidence_level=confidence,
            method="percentile",
            random_state=np.random.default_rng(_SEED),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    gain = float(sums.sum() / counts.sum())
    return ChallengerComparison(where, before, after, gain, low, high, confidence, len(counts))


def _losses(labels: Labels, scores: Scores) -> NDArray[np.float64]:
    """The logloss of each row."""
    exact = np.clip(scores.astype(float), np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    losses: NDArray[np.float64] = -np.where(labels == 1, np.log(exact), np.log1p(-exact))
    return losses


def _blocks(at: UtcMicrosArray) -> NDArray[np.int64]:
    """The block number of each row: days if there are at least 20, else 6 hours, else hours, else single rows."""
    for size in _BLOCKS:
        distinct, numbers = np.unique(at // size, return_inverse=True)
        if len(distinct) >= _LEAST_BLOCKS:
            return numbers
    return np.arange(len(at))
