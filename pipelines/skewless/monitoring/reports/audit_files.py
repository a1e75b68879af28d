"""Writes an audit's files: the page, the JSON and the metrics."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.reports.files import write
from skewless.monitoring.reports.prometheus import audit_metrics
from skewless.monitoring.reports.result_pages import audit_page


def write_audit(
    folder: Path,
    result: AuditResult,
    created_at: datetime,
    *,
    html: Path | None = None,
    json: Path | None = None,
    prom: Path | None = None,
) -> Path:
    """Write the files to `folder`, or to the paths given by option; returns the page's path."""
    role = f"-{result.role}" if result.role else ""
    stem = folder / f"audit-{result.model}-{result.version}{role}"
    page, metrics = audit_page(result, created_at), audit_metrics(result, created_at)
    return write(stem, result, page, metrics, html=html, json=json, prom=prom)
