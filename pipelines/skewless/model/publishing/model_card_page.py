"""A model's card as a page: made at publish, kept in the bundle.

Held by tests/model/publishing/test_model_card.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from skewless.contract.model.manifest import Manifest
from skewless.contract.plan import Plan
from skewless.html.render import render
from skewless.model.distributions.baseline import Baseline
from skewless.model.publishing.model_card import PermutationImportance, drawn
from skewless.model.training.model_metrics import CalibrationBin


def card_page(
    manifest: Manifest,
    plan: Plan,
    baseline: Baseline,
    moved: Sequence[PermutationImportance],
    calibrated: Sequence[CalibrationBin],
) -> str:
    """The page of a version that is about to be published."""
    inputs, scores = drawn(baseline)
    return render(
        "card.html",
        datetime.fromisoformat(manifest.created_at),
        manifest=manifest,
        plan=plan,
        moved=moved,
        bins=calibrated,
        inputs=inputs,
        scores=scores,
    )
