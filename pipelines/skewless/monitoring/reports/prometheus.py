"""Results as metrics in Prometheus' text format, for node-exporter's textfile collector."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.drift.drift import DriftResult


def drift_metrics(drifted: DriftResult, made_at: datetime) -> bytes:
    """Per subject and measure the effect, its threshold and whether it drifted; per run rows and time."""
    registry = CollectorRegistry()
    of = {"model": drifted.model, "version": drifted.version}
    _run(registry, "drift", of, drifted.rows, made_at)
    labels = [*of, "kind", "name", "measure"]
    effect = Gauge("skewless_drift_effect", "How far served rows are from training.", labels, registry=registry)
    limit = Gauge("skewless_drift_threshold", "The effect beyond which drift alarms.", labels, registry=registry)
    alarm = Gauge("skewless_drift_alarm", "Whether it drifted.", labels, registry=registry)
    for subject in drifted.subjects:
        for check in subject.checks:
            place = {**of, "kind": subject.kind, "name": subject.name, "measure": check.measure}
            effect.labels(**place).set(check.effect)
            limit.labels(**place).set(check.threshold)
            alarm.labels(**place).set(check.drifted)
    return generate_latest(registry)


def audit_metrics(audited: AuditResult, made_at: datetime) -> bytes:
    """How many values, statuses and scores were compared, and how many of them differ."""
    registry = CollectorRegistry()
    of = {"model": audited.model, "version": audited.version} | ({"role": audited.role} if audited.role else {})
    _run(registry, "audit", of, audited.rows, made_at)
    labels = [*of, "what"]
    compared = Gauge("skewless_audit_compared", "What was compared bit for bit.", labels, registry=registry)
    differing = Gauge("skewless_audit_differing", "What differs from the join.", labels, registry=registry)
    for what, some, of_all in (
        ("values", audited.differing_values, audited.values),
        ("statuses", audited.differing_statuses, audited.rows * audited.compared_views),
        ("scores", audited.differing_scores, audited.rows),
    ):
        differing.labels(**of, what=what).set(some)
        compared.labels(**of, what=what).set(of_all)
    _causes(registry, of, audited)
    return generate_latest(registry)


def _causes(registry: CollectorRegistry, of: dict[str, str], audited: AuditResult) -> None:
    """Served rows by cause and view, how far scores are off, and how well they told the outcomes that are known."""
    caused = Gauge(
        "skewless_audit_cause_rows", "Served rows that differ, by cause.", [*of, "cause", "view"], registry=registry
    )
    for one in audited.causes:
        caused.labels(**of, cause=one.cause, view=one.view).set(one.rows)
    if audited.price:
        moved = Gauge("skewless_audit_scores_off", "Scores that other values would change.", [*of], registry=registry)
        moved.labels(**of).set(audited.price.rows)
    if audited.live:
        live = Gauge("skewless_live", "Served scores against outcomes.", [*of, "measure"], registry=registry)
        for measure in ("rows", "auc", "logloss", "constant_logloss", "calibration_error"):
            value = getattr(audited.live, measure)
            if value is not None:
                live.labels(**of, measure=measure).set(value)


def _run(registry: CollectorRegistry, verb: str, of: dict[str, str], rows: int, made_at: datetime) -> None:
    counted = Gauge(f"skewless_{verb}_rows", "Served rows in the window.", [*of], registry=registry)
    counted.labels(**of).set(rows)
    last = Gauge(f"skewless_{verb}_last_run_seconds", "When it ran, seconds since 1970.", [*of], registry=registry)
    last.labels(**of).set(made_at.timestamp())
