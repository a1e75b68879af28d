"""An audit's files: the page, the JSON and the metrics."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.reports.files import write
from skewless.monitoring.reports.prometheus import audit_metrics
from skewless.monitoring.reports.result_pages import audit_page


def write_audit(
    folder: Path,
    found: AuditResult,
    made_at: datetime,
    *,
    html: Path | None = None,
    json: Path | None = None,
    prom: Path | None = None,
) -> Path:
    """In `folder`, unless they are asked for elsewhere; the page's path."""
    role = f"-{found.role}" if found.role else ""
    stem = folder / f"audit-{found.model}-{found.version}{role}"
    page, metrics = audit_page(found, made_at), audit_metrics(found, made_at)
    return write(stem, found, page, metrics, html=html, json=json, prom=prom)
