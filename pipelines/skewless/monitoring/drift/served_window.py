"""Measures the drift of a window of the served log against the baseline of the bundle that served it.

Held by tests/monitoring/drift/test_drift.py.
"""

from __future__ import annotations

from skewless.model.distributions import baseline
from skewless.model.publishing.rollout_steps import open_published
from skewless.monitoring.drift import drift, thresholds
from skewless.monitoring.drift.drift import DriftResult, ServedWindow
from skewless.monitoring.served_log.reader import ServedLogReader
from skewless.runtime.settings import ProjectSettings


def run(settings: ProjectSettings, window: ServedWindow) -> DriftResult:
    """Compare the served inputs and scores of a model version with those of its training.

    Raises: StepInputMissing where it is not published or has no served log, InvalidBundle, BadThresholds.
    """
    folders, model, version = settings.folders, window.model, window.version
    folder = settings.registry.bundle(model, version)
    bundle = open_published(settings.registry, model, version)
    limits = thresholds.read(settings.feature_repo / thresholds.FILE, model, drift.threshold_names(bundle.plan))
    served = ServedLogReader(folders.served).read(model, version, window.start, window.end)
    return drift.run(window, bundle.plan, baseline.read(folder, model, version), served, limits, bundle.signature)
