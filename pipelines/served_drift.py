"""Drift of a served log: a window of it beside the baseline of the bundle that served it, and the report of that."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pipelines import baseline, drift, drift_thresholds
from pipelines.audit import ServedLog
from pipelines.drift import Drifted, Window
from pipelines.reports.exposition import drift_metrics
from pipelines.reports.files import write
from pipelines.reports.page import drift_page
from pipelines.settings import Settings
from serving.contract.bundle import open_bundle
from serving.contract.processor import processor_features


def run(settings: Settings, window: Window) -> Drifted:
    """Compare what a model version was served with what it was trained on.

    Raises: NotTrained where it has no served log, InvalidBundle, BadThresholds.
    """
    folders, model, version = settings.folders, window.model, window.version
    folder = settings.registry.bundle(model, version)
    bundle = open_bundle(folder, processor_features())
    limits = drift_thresholds.read(settings.feature_repo / drift_thresholds.FILE, model, drift.names_of(bundle.plan))
    served = ServedLog(folders.served).read(model, version, window.start, window.end)
    return drift.run(window, bundle.plan, baseline.read(folder, model, version), served, limits, bundle.form)


def write_report(
    folder: Path,
    found: Drifted,
    made_at: datetime,
    *,
    html: Path | None = None,
    json: Path | None = None,
    prom: Path | None = None,
) -> Path:
    """The page, the JSON and the metrics, in `folder` unless they are asked for elsewhere; the page's path."""
    stem = folder / f"drift-{found.model}-{found.version}"
    page, metrics = drift_page(found, made_at), drift_metrics(found, made_at)
    return write(stem, found, page, metrics, html=html, json=json, prom=prom)
