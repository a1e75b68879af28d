"""The work of the tasks that bring a project's feature views online.

Held by tests/airflow/test_dags_of_data.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from skewless.airflow.airflow_project import AirflowProject

if TYPE_CHECKING:
    from skewless.online.materialization.materialize import Check


def plan(project: AirflowProject, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The window of each feature view for the run's partition, with its expectations, as JSON-compatible values."""
    from skewless.airflow.connections import workspace
    from skewless.airflow.window import window_of
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.materialization import materialize as verb

    work, window = workspace(project), window_of(context)
    views, name = work.definitions(), work.project
    stored, gates = work.online.stored_views([view for view, _ in views]), QualityGates.of_stored(work)
    windows = verb.plan_partition(work.state, name, views, start=window.start, end=window.end, stored=stored)
    return [
        {"project": name, "window": w.to_builtins(), "expected": gates.to_builtins(w.view.stored_as)} for w in windows
    ]


def materialize(project: AirflowProject, planned: dict[str, Any]) -> dict[str, int]:
    """Materialize one planned window behind its gate; returns its row counts."""
    from skewless.airflow.connections import now, online_project
    from skewless.airflow.lineage import materialized
    from skewless.online.materialization import materialize as verb

    name, window = planned["project"], verb.ArrivalWindow.parse(planned["window"])
    materialized(name, window.view, window.source)
    counts = verb.run([window], online_project(project, name), clock=now, check=_gate(project, planned))
    return asdict(counts[window.view.stored_as])


def store_outputs(project: AirflowProject, context: Mapping[str, Any]) -> dict[str, int]:
    """Compute what on-demand views store for the run's partition; returns the number of rows by view.

    Raises: as `materialize_outputs`; AirflowSkipException where none stores its outputs.
    """
    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.airflow.connections import now, workspace
    from skewless.airflow.window import window_of
    from skewless.runtime.progress import quiet

    work, window, log = workspace(project), window_of(context), logging.getLogger(__name__)
    if not (names := work.stored_outputs()):
        raise AirflowSkipException("no on-demand view stores its outputs")
    from skewless.feast.materialization import stored_outputs as verb  # it imports Feast

    span = verb.ArrivalSpan(window.end, window.start, overlap=work.settings.late_events, partition=True)
    counts = verb.run(work.store, names, work.online_project, span, clock=now, report=quiet, warn=log.warning)
    return {name: of_view.written for name, of_view in counts.items()}


def write_freshness(project: AirflowProject, planned: list[dict[str, Any]]) -> str:
    """Write freshness metrics of the planned windows' views for node-exporter's textfile collector; returns the file."""
    from skewless.airflow.connections import now, settings
    from skewless.files.durable import write_file
    from skewless.monitoring.reports.freshness_metrics import freshness_metrics
    from skewless.online.materialization import view_freshness
    from skewless.online.materialization.materialize import ArrivalWindow
    from skewless.state.database import StateDatabase

    known, windows = settings(project), [ArrivalWindow.parse(item["window"]) for item in planned]
    name = planned[0]["project"] if planned else ""
    views = [window.view.stored_as for window in windows]
    freshness = view_freshness.run(views, StateDatabase(known.state_url), name, now())
    file = known.folders.reports / "freshness.prom"
    write_file(file, freshness_metrics(name, freshness))
    return str(file)


def _gate(project: AirflowProject, planned: dict[str, Any]) -> Check:
    """The data-quality gate of a planned window; unmet expectations are written to the task's log."""
    from skewless.airflow.connections import settings
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.materialization.materialize import ArrivalWindow

    log, window = logging.getLogger(__name__), ArrivalWindow.parse(planned["window"])
    quarantine = settings(project).folders.quarantine
    return QualityGates.from_builtins(window, planned["expected"], quarantine).window_check(log.warning)
