"""Every metric of the server and of the reports, by rendering them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from skewless.monitoring.reports.freshness_metrics import freshness_metrics
from skewless.monitoring.reports.prometheus import audit_metrics, drift_metrics
from skewless.server.metrics.counters import ServerMetrics
from tests.docs.reference.markdown import table

AT = datetime(2013, 2, 27, tzinfo=UTC)
HEAD = ["metric", "type", "labels", "meaning"]


def server_metrics() -> str:
    """Of `/metrics`. A counter that nobody moved has no sample, so its labels are those that it was made with."""
    collected = ServerMetrics(None)
    rows = []
    for collector, names in _registry(collected)._collector_to_names.items():
        family = next(iter(collector.collect()))
        shown = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.name in names
        labels = getattr(collector, "_labelnames", ())
        rows.append([f"`{shown}`", family.type, _codes(labels), family.documentation])
    return table(HEAD, sorted(rows))


def report_metrics() -> str:
    """Of the files that `audit`, `drift` and `status --prom` write, from results that have one of everything."""
    parts = []
    for verb, content in REPORTS.items():
        families = text_string_to_metric_families(content().decode())
        parts.append(f"### {verb}\n\n{table(HEAD, sorted(_report_rows(families)))}")
    return "\n\n".join(parts)


def _registry(metrics: ServerMetrics) -> CollectorRegistry:
    return metrics._registry


def _report_rows(families: Iterable[Metric]) -> Iterable[list[str]]:
    for family in families:
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels)
        yield [f"`{family.name}`", family.type, _codes(labels), family.documentation]


def _codes(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _audited() -> bytes:
    live = SimpleNamespace(rows=1, auc=1.0, logloss=0.0, constant_logloss=0.0, calibration_error=0.0)
    found: Any = SimpleNamespace(
        model="m", version="1.0.0", role="champion", rows=1, compared_views=1, values=1,
        differing_values=1, differing_statuses=1, differing_scores=1,
        causes=[SimpleNamespace(cause="late data", view="v", rows=1)], score_impact=SimpleNamespace(rows=1), live=live,
    )  # fmt: skip
    return audit_metrics(found, AT)


def _drifted() -> bytes:
    check = SimpleNamespace(measure="psi", effect=0.1, threshold=0.1, drifted=False)
    subject = SimpleNamespace(kind="input", name="x", checks=[check])
    found: Any = SimpleNamespace(model="m", version="1.0.0", rows=1, subjects=[subject])
    return drift_metrics(found, AT)


def _fresh() -> bytes:
    one: Any = SimpleNamespace(view="v", watermark=AT, newest=AT, last_run="finished")
    return freshness_metrics("p", [one])


REPORTS = {"skewless audit": _audited, "skewless drift": _drifted, "skewless status": _fresh}
