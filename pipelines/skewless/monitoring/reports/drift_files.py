"""Writes a drift run's files: the page, the JSON and the metrics.

Held by tests/monitoring/drift/test_drift.py.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skewless.monitoring.drift.drift import DriftResult
from skewless.monitoring.reports.files import write
from skewless.monitoring.reports.prometheus import drift_metrics
from skewless.monitoring.reports.result_pages import drift_page


def write_report(
    folder: Path,
    result: DriftResult,
    created_at: datetime,
    *,
    html: Path | None = None,
    json: Path | None = None,
    prom: Path | None = None,
) -> Path:
    """Write the files to `folder`, or to the paths given by option; returns the page's path."""
    stem = folder / f"drift-{result.model}-{result.version}"
    page, metrics = drift_page(result, created_at), drift_metrics(result, created_at)
    return write(stem, result, page, metrics, html=html, json=json, prom=prom)
