"""Model performance against labels: AUC, logloss, calibration. The statistics are scikit-learn's."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

_BINS = 10


class CalibrationBin(msgspec.Struct, frozen=True):
    """A bin of similar scores: how many rows, their mean score, and the share of rows with label 1."""

    rows: int
    score: float
    share: float


class ModelPerformance(msgspec.Struct, frozen=True):
    """The performance of scores against labels. `auc` is None where the labels have one class only. `constant_logloss` is
    the logloss of the best constant score; `calibration_error` is the mean gap of score and share over the bins, weighted
    by rows.
    """

    rows: int
    auc: float | None
    logloss: float
    constant_logloss: float
    calibration_error: float
    calibration: tuple[CalibrationBin, ...]

    def __str__(self) -> str:
        auc = "no AUC (one class only)" if self.auc is None else f"AUC {self.auc:.4f}"
        return (
            f"{auc}, logloss {self.logloss:.4f} (a constant: {self.constant_logloss:.4f}), calibration off by "
            f"{self.calibration_error:.4f} on {self.rows:,} rows"
        )


def measure(labels: NDArray[np.floating], scores: NDArray[np.floating]) -> ModelPerformance | None:
    """The performance of n scores against their labels (0 or 1); None where n is 0."""
    if not len(labels):
        return None
    exact, bins = scores.astype(float), calibration(labels, scores)
    constant = np.full(len(labels), labels.mean())
    return ModelPerformance(
        rows=len(labels),
        auc=float(roc_auc_score(labels, exact)) if 0 < labels.mean() < 1 else None,
        logloss=float(log_loss(labels, exact, labels=[0, 1])),
        constant_logloss=float(log_loss(labels, constant, labels=[0, 1])),
        calibration_error=sum(abs(each.score - each.share) * each.rows for each in bins) / len(labels),
        calibration=bins,
    )


def calibration(labels: NDArray[np.floating], scores: NDArray[np.floating]) -> tuple[CalibrationBin, ...]:
    """Up to ten bins of about equal size, the lowest scores first; equal scores share a bin."""
    edges = np.unique(np.quantile(scores, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    numbers = np.searchsorted(edges, scores, side="left")
    bins = []
    for number in np.unique(numbers):
        inside = numbers == number
        share = float(labels[inside].mean())
        bins.append(CalibrationBin(int(inside.sum()), float(scores[inside].mean(dtype=float)), share))
    return tuple(bins)
