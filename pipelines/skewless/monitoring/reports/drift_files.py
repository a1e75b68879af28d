"""The files that a drift run leaves: page, JSON and metrics."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skewless.monitoring.drift.drift import DriftResult
from skewless.monitoring.reports.files import write
from skewless.monitoring.reports.prometheus import drift_metrics
from skewless.monitoring.reports.result_pages import drift_page


def write_report(
    folder: Path,
    found: DriftResult,
    made_at: datetime,
    *,
    html: Path | None = None,
    json: Path | None = None,
    prom: Path | None = None,
) -> Path:
    """The page, the JSON and the metrics, in `folder` unless they are asked for elsewhere; the page's path."""
    stem = folder / f"drift-{found.model}-{found.version}"
    page, metrics = drift_page(found, made_at), drift_metrics(found, made_at)
    return write(stem, found, page, metrics, html=html, json=json, prom=prom)
