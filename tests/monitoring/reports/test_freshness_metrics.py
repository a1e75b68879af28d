"""How fresh views are, as Prometheus' own parser reads it."""

from __future__ import annotations

from datetime import timedelta

from skewless.monitoring.reports.freshness_metrics import freshness_metrics
from skewless.online.materialization.view_freshness import ViewFreshness
from tests.monitoring.reports.audit_results import NOON
from tests.monitoring.reports.prometheus_samples import samples


def test_how_fresh_views_are_in_instants_so_that_an_old_file_tells_a_growing_age():
    views = [
        ViewFreshness(
            "route", NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=2), "failed: StoreFull: no memory"
        ),
        ViewFreshness("never", NOON, None, None, "none"),
    ]
    found = samples(freshness_metrics("flights", views))
    route, never = ((("project", "flights"), ("view", view)) for view in ("route", "never"))
    assert found["skewless_view_watermark_seconds", *route] == NOON.timestamp() - 3600
    assert found["skewless_view_newest_event_seconds", *route] == NOON.timestamp() - 7200
    assert found["skewless_view_last_run_failed", *route] == 1
    assert found["skewless_view_known", *route] == 1
    assert found["skewless_view_known", *never] == found["skewless_view_last_run_failed", *never] == 0
    assert ("skewless_view_watermark_seconds", *never) not in found
