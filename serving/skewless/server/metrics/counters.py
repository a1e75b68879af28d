"""The server's Prometheus metrics. Names begin with `skewless_`; times are in seconds.

Held by tests/server/api/test_health.py.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ServerMetrics:
    """The metrics of one process. With `shared`, the folder of all workers' metrics, a scrape returns their sum."""

    def __init__(self, shared: Path | None) -> None:
        self._registry = CollectorRegistry()
        self._shared = shared
        self._requests_and_models()
        self._rollouts()
        self._store_and_log()

    def _requests_and_models(self) -> None:
        registry = self._registry
        self.requests = Counter(
            "skewless_requests", "Prediction requests by answer.", ["model", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "skewless_request_seconds",
            "Time to answer a request; version and role are empty for those that no version answered.",
            ["model", "version", "role"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.failures = Counter(
            "skewless_version_failures",
            "Requests that a version failed; an unavailable store is not counted.",
            ["model", "version", "role"],
            registry=registry,
        )
        self.rows = Counter("skewless_rows", "Rows scored.", ["model", "version", "role"], registry=registry)
        self.statuses = Counter(
            "skewless_view_status",
            "Rows by view and by status of the view's values.",
            ["model", "view", "status"],
            registry=registry,
        )
        self.ready = Gauge(
            "skewless_model_ready",
            "1 while the model answers, or is retired.",
            ["model"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.refusals = Counter(
            "skewless_champion_refusals",
            "Versions that a rollout named and this process refused.",
            ["model"],
            registry=registry,
        )

    def _rollouts(self) -> None:
        registry = self._registry
        self.shadow_dropped = Counter(
            "skewless_shadow_dropped_rows",
            "Rows not shadowed: the queue was full.",
            ["model", "version"],
            registry=registry,
        )
        self.shadow_failed = Counter(
            "skewless_shadow_failures", "Requests that a shadow failed.", ["model", "version"], registry=registry
        )
        self.cached = tuple(
            Counter(
                f"skewless_score_cache_{what}",
                f"Rows whose score was {where}.",
                ["model", "version"],
                registry=registry,
            )
            for what, where in (("hits", "in the cache"), ("misses", "not in the cache"))
        )
        self.withdrawals = Counter(
            "skewless_canary_withdrawals",
            "Canaries that this process withdrew.",
            ["model", "version"],
            registry=registry,
        )
        self.revision = Gauge(
            "skewless_rollout_revision",
            "Revision of the rollout in force.",
            ["model"],
            registry=registry,
            multiprocess_mode="livemin",
        )

    def _store_and_log(self) -> None:
        registry = self._registry
        self.http_requests = Counter(
            "skewless_http_requests",
            "HTTP requests by path: `direct` (a plain prediction or push, answered below ASGI) or `asgi`.",
            ["path"],
            registry=registry,
        )
        self.connections = Gauge(
            "skewless_open_connections", "Open connections.", registry=registry, multiprocess_mode="livesum"
        )
        self.store_failures = Counter(
            "skewless_store_failures", "Requests that the online store failed.", registry=registry
        )
        self.logged = Counter("skewless_served_log_written_rows", "Rows written.", registry=registry)
        self.unsampled = Counter(
            "skewless_served_log_unsampled_rows", "Rows of requests outside of the logged share.", registry=registry
        )
        self.dropped = Counter(
            "skewless_served_log_dropped_rows", "Rows not logged: the queue was full.", registry=registry
        )
        self.lost = Counter("skewless_served_log_lost_rows", "Rows not logged: writing failed.", registry=registry)
        self.waiting = Gauge(
            "skewless_served_log_waiting_rows",
            "Rows waiting to be written.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.waiting.set(0)
        self.pushes = Counter("skewless_pushes", "Push requests by answer.", ["view", "status"], registry=registry)
        self.pushed_rows = Counter("skewless_pushed_rows", "Rows stored by pushes.", ["view"], registry=registry)
        self.push_commits = Counter("skewless_push_commits", "Parts written for pushes.", registry=registry)

    def render(self) -> bytes:
        """The metrics in Prometheus's text format."""
        if self._shared is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared))  # type: ignore[no-untyped-call]
        return generate_latest(registry)
