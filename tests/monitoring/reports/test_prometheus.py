"""Metrics that Prometheus' own parser reads back."""

from __future__ import annotations

import numpy as np

from skewless.monitoring.drift.drift import run
from skewless.monitoring.drift.thresholds import DriftThresholds
from skewless.monitoring.reports.prometheus import audit_metrics, drift_metrics
from tests.bench import drift as bench
from tests.monitoring.reports.audit_results import NOON, SKEWED
from tests.monitoring.reports.prometheus_samples import samples


def test_an_audit_in_numbers():
    found = samples(audit_metrics(SKEWED, NOON))
    of = (("model", "tiny"), ("version", "1.0.0"))
    assert found["skewless_audit_rows", *of] == 9
    assert found["skewless_audit_last_run_seconds", *of] == NOON.timestamp()
    differing = {
        name[2][1] if name[2][0] == "what" else name[3][1]: v for name, v in found.items() if "differing" in name[0]
    }
    assert differing == {"values": 2, "statuses": 1, "scores": 0}


def test_every_check_of_a_drift_run_has_its_effect_threshold_and_alarm():
    rows = bench.population(np.random.default_rng(5), 500)
    rows.inputs["age"] += 10
    drifted = run(bench.WINDOW, bench.PLAN, bench.baseline(5_000), rows.served(), DriftThresholds())
    found = samples(drift_metrics(drifted, NOON))
    checks = sum(len(one.checks) for one in drifted.subjects)
    for name in ("effect", "threshold", "alarm"):
        assert sum(key[0] == f"skewless_drift_{name}" for key in found) == checks
    alarms = [dict(key[1:])["name"] for key, value in found.items() if key[0] == "skewless_drift_alarm" and value]
    assert alarms == ["age"]
