"""Results of audits."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np

from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.audit.timeline import timeline

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
MICROS = 1_380_628_800_000_000
SKEWED = AuditResult(
    model="tiny", version="1.0.0", start="2013-10-01T00:00:00+00:00", end="2013-10-02T00:00:00+00:00",
    rows=9, compared_views=2, values=45, differing_values=2, differing_statuses=1, differing_scores=0,
    columns={"mean": 2}, views={"delays": 1}, examples=["request <script>alert(1)</script>: mean was 5"],
    timeline=timeline(MICROS + np.arange(9) * 60_000_000, np.arange(9) < 2),
)  # fmt: skip
CLEAN = msgspec.structs.replace(
    SKEWED, differing_values=0, differing_statuses=0, columns={}, views={}, examples=[],
    timeline=timeline(MICROS + np.arange(9), np.zeros(9, bool)),
)  # fmt: skip
VOID = {"meta", "line", "rect", "br", "wbr", "link", "img"}
