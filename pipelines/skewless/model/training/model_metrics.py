"""How well scores told what came to pass: AUC, logloss, calibration. The statistics are scikit-learn's."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

_BINS = 10


class CalibrationBin(msgspec.Struct, frozen=True):
    """Scores of about one size: how many, their mean, and the share of them that came true."""

    rows: int
    score: float
    share: float


class ModelPerformance(msgspec.Struct, frozen=True):
    """`auc` is None where only one class was seen. `constant_logloss` is that of the constant that fits the labels best,
    `calibration_error` the mean gap of score and share over the bins, by rows.
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
    """Of n labels (0 or 1) and their scores; None without any."""
    if not len(labels):
        return None
    exact, bins = scores.astype(float), calibration(labels, scores)
    constant = np.full(len(labels), labels.mean())
    return ModelPerformance(
        rows=len(labels),
        auc=float(roc_auc_score(labels, exact)) if 0 < labels.mean() < 1 else None,
        logloss=float(log_loss(labels, exact, labels=[0, 1])),
        constant_logloss=float(log_loss(labels, constant, labels=[0, 1])),
        calibration_error=sum(abs(one.score - one.share) * one.rows for one in bins) / len(labels),
        calibration=bins,
    )


def calibration(labels: NDArray[np.floating], scores: NDArray[np.floating]) -> tuple[CalibrationBin, ...]:
    """Up to ten bins of as many scores each, the least first; equal scores share a bin."""
    edges = np.unique(np.quantile(scores, np.arange(1, _BINS) / _BINS, method="inverted_cdf"))
    places = np.searchsorted(edges, scores, side="left")
    found = []
    for place in np.unique(places):
        some = places == place
        found.append(CalibrationBin(int(some.sum()), float(scores[some].mean(dtype=float)), float(labels[some].mean())))
    return tuple(found)
