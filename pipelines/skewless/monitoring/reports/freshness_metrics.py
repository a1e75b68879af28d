"""View freshness as metrics. In a module of its own, so that a task that writes them does not import the other results."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from skewless.online.materialization.view_freshness import ViewFreshness


def freshness_metrics(project: str, views: Iterable[ViewFreshness]) -> bytes:
    """Each view's watermark and newest event as timestamps, so that `time() - ...` is an age however old the file is. A
    view without such a time has no such sample; `skewless_view_last_run_failed` is 1 where the last run failed.
    """
    registry, labels = CollectorRegistry(), ["project", "view"]
    known = Gauge("skewless_view_known", "Whether the view was ever materialized.", labels, registry=registry)
    failed = Gauge("skewless_view_last_run_failed", "Whether its last run failed.", labels, registry=registry)
    unit = "seconds since 1970."
    until = Gauge(
        "skewless_view_watermark_seconds", f"All arrivals up to then are online, {unit}", labels, registry=registry
    )
    newest = Gauge(
        "skewless_view_newest_event_seconds",
        f"The newest event that a run brought online, {unit}",
        labels,
        registry=registry,
    )
    for view in views:
        values = {"project": project, "view": view.view}
        known.labels(**values).set(view.watermark is not None)
        failed.labels(**values).set(view.last_run.startswith("failed"))
        for gauge, at in ((until, view.watermark), (newest, view.newest)):
            if at is not None:
                gauge.labels(**values).set(at.timestamp())
    return generate_latest(registry)
