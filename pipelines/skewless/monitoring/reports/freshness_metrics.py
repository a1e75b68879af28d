"""How fresh views are as metrics, apart from the other metrics: a task that writes them starts without their models."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from skewless.online.materialization.view_freshness import ViewFreshness


def freshness_metrics(project: str, views: Iterable[ViewFreshness]) -> bytes:
    """Per view its watermark and newest event as instants, so that `time() - ...` is an age however old the file is; a
    view that has none is left out, and one whose last run failed says so.
    """
    registry, labels = CollectorRegistry(), ["project", "view"]
    known = Gauge("skewless_view_known", "Whether the view was ever materialized.", labels, registry=registry)
    failed = Gauge("skewless_view_last_run_failed", "Whether its last run failed.", labels, registry=registry)
    told = "seconds since 1970."
    until = Gauge(
        "skewless_view_watermark_seconds", f"All arrivals up to then are online, {told}", labels, registry=registry
    )
    newest = Gauge(
        "skewless_view_newest_event_seconds", f"The newest event up to there, {told}", labels, registry=registry
    )
    for one in views:
        place = {"project": project, "view": one.view}
        known.labels(**place).set(one.watermark is not None)
        failed.labels(**place).set(one.last_run.startswith("failed"))
        for gauge, at in ((until, one.watermark), (newest, one.newest)):
            if at is not None:
                gauge.labels(**place).set(at.timestamp())
    return generate_latest(registry)
