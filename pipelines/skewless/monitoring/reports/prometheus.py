"""Audit and drift results as metrics in Prometheus' text format, for node-exporter's textfile collector."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.drift.drift import DriftResult


def drift_metrics(drifted: DriftResult, created_at: datetime) -> bytes:
    """The effect, its threshold and whether it drifted, by subject and measure; rows and time of the run."""
    registry = CollectorRegistry()
    run_labels = {"model": drifted.model, "version": drifted.version}
    _run(registry, "drift", run_labels, drifted.rows, created_at)
    labels = [*run_labels, "kind", "name", "measure"]
    effect = Gauge("skewless_drift_effect", "How far served rows are from training.", labels, registry=registry)
    limit = Gauge("skewless_drift_threshold", "The effect beyond which drift alarms.", labels, registry=registry)
    alarm = Gauge("skewless_drift_alarm", "Whether it drifted.", labels, registry=registry)
    for subject in drifted.subjects:
        for check in subject.checks:
            values = {**run_labels, "kind": subject.kind, "name": subject.name, "measure": check.measure}
            effect.labels(**values).set(check.effect)
            limit.labels(**values).set(check.threshold)
            alarm.labels(**values).set(check.drifted)
    return generate_latest(registry)


def audit_metrics(audited: AuditResult, created_at: datetime) -> bytes:
    """How many values, statuses and scores were compared and differ; differences by cause; live performance."""
    registry = CollectorRegistry()
    run_labels = {"model": audited.model, "version": audited.version} | ({"role": audited.role} if audited.role else {})
    _run(registry, "audit", run_labels, audited.rows, created_at)
    labels = [*run_labels, "what"]
    compared = Gauge("skewless_audit_compared", "What was compared bit for bit.", labels, registry=registry)
    differing = Gauge("skewless_audit_differing", "What differs from the join.", labels, registry=registry)
    for what, differs, total in (
        ("values", audited.differing_values, audited.values),
        ("statuses", audited.differing_statuses, audited.rows * audited.compared_views),
        ("scores", audited.differing_scores, audited.rows),
    ):
        differing.labels(**run_labels, what=what).set(differs)
        compared.labels(**run_labels, what=what).set(total)
    _causes(registry, run_labels, audited)
    return generate_latest(registry)


def _causes(registry: CollectorRegistry, run_labels: dict[str, str], audited: AuditResult) -> None:
    """Served rows by cause and view, how many scores are off, and the live performance where outcomes are known."""
    caused = Gauge(
        "skewless_audit_cause_rows",
        "Served rows that differ, by cause.",
        [*run_labels, "cause", "view"],
        registry=registry,
    )
    for differences in audited.causes:
        caused.labels(**run_labels, cause=differences.cause, view=differences.view).set(differences.rows)
    if audited.score_impact:
        changed = Gauge(
            "skewless_audit_scores_off", "Scores that other values would change.", [*run_labels], registry=registry
        )
        changed.labels(**run_labels).set(audited.score_impact.rows)
    if audited.live:
        live = Gauge("skewless_live", "Served scores against outcomes.", [*run_labels, "measure"], registry=registry)
        for measure in ("rows", "auc", "logloss", "constant_logloss", "calibration_error"):
            value = getattr(audited.live, measure)
            if value is not None:
                live.labels(**run_labels, measure=measure).set(value)


def _run(registry: CollectorRegistry, verb: str, run_labels: dict[str, str], rows: int, created_at: datetime) -> None:
    counted = Gauge(f"skewless_{verb}_rows", "Served rows in the window.", [*run_labels], registry=registry)
    counted.labels(**run_labels).set(rows)
    last = Gauge(
        f"skewless_{verb}_last_run_seconds", "When it ran, seconds since 1970.", [*run_labels], registry=registry
    )
    last.labels(**run_labels).set(created_at.timestamp())
