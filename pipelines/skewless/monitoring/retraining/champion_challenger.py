"""Two models on the same rows: is one better by a margin, with confidence? The bootstrap is scipy's.

Rows of one day share their weather, so what is drawn again is not rows but whole blocks of time.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skewless.contract.timestamps import UtcMicrosArray
from skewless.model.training.model_metrics import ModelPerformance, measure
from skewless.monitoring.audit.replay import Scores
from skewless.monitoring.audit.score_impact import Labels

_HOUR = 3_600_000_000
_BLOCKS = (24 * _HOUR, 6 * _HOUR, _HOUR)
_LEAST_BLOCKS = 20
_RESAMPLES = 2_000
_SEED = 7


class ChallengerComparison(msgspec.Struct, frozen=True):
    """`gain` is by how much the candidate's logloss is less than the champion's in the mean, `low` and `high` its
    confidence interval.
    """

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


def contest(
    where: str, labels: Labels, champion: Scores, candidate: Scores, at: UtcMicrosArray, *, confidence: float
) -> ChallengerComparison | None:
    """Compare scores of the same n rows, at least 2 blocks of them; None where there are fewer."""
    blocks = _blocks(at)
    counts = np.bincount(blocks).astype(float)
    then, now = measure(labels, champion), measure(labels, candidate)
    if len(counts) < 2 or then is None or now is None:
        return None
    sums = np.bincount(blocks, _losses(labels, champion) - _losses(labels, candidate))
    if not sums.any():
        low = high = 0.0
    else:
        found = stats.bootstrap(
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
        low, high = float(found.low), float(found.high)
    gain = float(sums.sum() / counts.sum())
    return ChallengerComparison(where, then, now, gain, low, high, confidence, len(counts))


def _losses(labels: Labels, scores: Scores) -> NDArray[np.float64]:
    """Each row's logloss."""
    exact = np.clip(scores.astype(float), np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    losses: NDArray[np.float64] = -np.where(labels == 1, np.log(exact), np.log1p(-exact))
    return losses


def _blocks(at: UtcMicrosArray) -> NDArray[np.int64]:
    """Which block each row is in: days where there are enough of them, else shorter ones, else rows."""
    for size in _BLOCKS:
        distinct, places = np.unique(at // size, return_inverse=True)
        if len(distinct) >= _LEAST_BLOCKS:
            return places
    return np.arange(len(at))
