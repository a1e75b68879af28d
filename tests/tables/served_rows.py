"""One answered request as rows of the served log."""

from __future__ import annotations

import pyarrow as pa

from skewless.contract.model.signature import ModelSignature
from skewless.contract.plan import Plan
from skewless.contract.storage.served_row import ServedRequest, used, used_batch


def served_batch(
    plan: Plan, model: str, version: str, served: ServedRequest, signature: ModelSignature | None = None
) -> pa.RecordBatch:
    """One answered request as rows of the served log."""
    views = [view.name for view in plan.views]
    return used_batch(plan, model, version, views, [used(views, served)], signature)
