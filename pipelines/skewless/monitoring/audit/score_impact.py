"""What an audit's differences did to the scores, and where outcomes are known what that cost in model performance.

Held by tests/monitoring/audit/test_attribution.py.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from skewless.model.training.model_metrics import ModelPerformance, measure
from skewless.monitoring.audit.replay import Scores

Labels = NDArray[np.float64]


class ScoreImpact(msgspec.Struct, frozen=True):
    """`rows` scores differ from the scores of the joined values: by `mean` on average over these rows, by at most
    `largest`. `served` and `joined` are the performance of the served and the joined scores, on the rows whose outcome
    is known.
    """

    rows: int
    mean: float
    largest: float
    served: ModelPerformance | None
    joined: ModelPerformance | None = msgspec.field(name="fair")

    @property
    def logloss(self) -> float | None:
        """What the differences cost in logloss; None without outcomes."""
        return self.served.logloss - self.joined.logloss if self.served and self.joined else None

    @property
    def auc(self) -> float | None:
        """What the differences cost in AUC; None without outcomes of both classes."""
        if not (self.served and self.joined) or self.served.auc is None or self.joined.auc is None:
            return None
        return self.joined.auc - self.served.auc

    def __str__(self) -> str:
        text = f"{self.rows:,} scores are off, by {self.mean:.4f} on average and {self.largest:.4f} at most"
        if self.logloss is not None:
            text += f"; that cost {self.logloss:+.4f} logloss"
        if self.auc is not None:
            text += f" and {self.auc:+.4f} AUC"
        return text


def score_impact(served: Scores, joined: Scores, labels: Labels) -> ScoreImpact:
    """Compare served scores with the scores of the joined values; `labels` are NaN where the outcome is not known."""
    gap = np.abs(served.astype(float) - joined)
    off, known = gap > 0, ~np.isnan(labels)
    return ScoreImpact(
        rows=int(off.sum()),
        mean=float(gap[off].mean()) if off.any() else 0.0,
        largest=float(gap.max(initial=0.0)),
        served=measure(labels[known], served[known]),
        joined=measure(labels[known], joined[known]),
    )
