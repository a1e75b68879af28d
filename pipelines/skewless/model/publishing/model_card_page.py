"""A model's card as a page: rendered at publish, and part of the bundle.

Held by tests/model/publishing/test_model_card.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from skewless.contract.model.manifest import Manifest
from skewless.contract.plan import Plan
from skewless.html.render import render
from skewless.model.distributions.baseline import Baseline
from skewless.model.publishing.model_card import PermutationImportance, drawn_distributions
from skewless.model.training.model_metrics import CalibrationBin


def card_page(
    manifest: Manifest,
    plan: Plan,
    baseline: Baseline,
    importances: Sequence[PermutationImportance],
    bins: Sequence[CalibrationBin],
) -> str:
    """The card of a version that is about to be published, as HTML."""
    inputs, scores = drawn_distributions(baseline)
    return render(
        "card.html",
        datetime.fromisoformat(manifest.created_at),
        manifest=manifest,
        plan=plan,
        importances=importances,
        bins=bins,
        inputs=inputs,
        scores=scores,
    )
