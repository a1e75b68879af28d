"""A model's card as a page: made at publish, kept in the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipelines.baseline import Baseline
from pipelines.model_card import Moved, drawn
from pipelines.performance import Bin
from pipelines.reports.page import render
from serving.contract.manifest import Manifest
from serving.contract.plan import Plan


def card_page(
    manifest: Manifest, plan: Plan, baseline: Baseline, moved: Sequence[Moved], calibrated: Sequence[Bin]
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
