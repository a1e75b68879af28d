"""The price of what an audit found: how far scores were off, and where outcomes are known what that cost."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from skewless.model.training.model_metrics import ModelPerformance, measure
from skewless.monitoring.audit.replay import Scores

Labels = NDArray[np.float64]


class ScoreImpact(msgspec.Struct, frozen=True):
    """`rows` have another score than the joined values get: by `mean` (over these rows) and by at most `largest`.
    `served` and `fair` are the performance of the served and of the joined values' scores, on the rows whose outcome is
    known.
    """

    rows: int
    mean: float
    largest: float
    served: ModelPerformance | None
    fair: ModelPerformance | None

    @property
    def logloss(self) -> float | None:
        """What the differences cost in logloss; None without outcomes."""
        return self.served.logloss - self.fair.logloss if self.served and self.fair else None

    @property
    def auc(self) -> float | None:
        """What they cost in AUC; None without outcomes of both classes."""
        if not (self.served and self.fair) or self.served.auc is None or self.fair.auc is None:
            return None
        return self.fair.auc - self.served.auc

    def __str__(self) -> str:
        told = f"{self.rows:,} scores are off, by {self.mean:.4f} in the mean and {self.largest:.4f} at most"
        if self.logloss is not None:
            told += f"; that cost {self.logloss:+.4f} logloss"
        if self.auc is not None:
            told += f" and {self.auc:+.4f} AUC"
        return told


def price(scores: Scores, fair: Scores, labels: Labels) -> ScoreImpact:
    """`scores` were served, `fair` are those of the joined values; `labels` are NaN where the outcome is not known."""
    gap = np.abs(scores.astype(float) - fair)
    off, known = gap > 0, ~np.isnan(labels)
    return ScoreImpact(
        rows=int(off.sum()),
        mean=float(gap[off].mean()) if off.any() else 0.0,
        largest=float(gap.max(initial=0.0)),
        served=measure(labels[known], scores[known]),
        fair=measure(labels[known], fair[known]),
    )
