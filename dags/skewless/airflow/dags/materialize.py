"""Materialize: a partition's rows into the online store, one task per feature view, then `fresh` once after all."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import DAG, PartitionedAssetTimetable, get_current_context, task
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.assets import offline_store, online_store
from skewless.airflow.dag_defaults import windowed

_VIEW = "{{ task.op_kwargs['planned']['window']['view']['stored_as'] }}"


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **windowed(project, "materialize", "online"),
        description="What a partition brought into the online store, a task a feature view.",
        schedule=project.schedule("materialize", PartitionedAssetTimetable(assets=offline_store(project.name))),
        doc_md=__doc__,
    ) as dag:

        @task
        def plan() -> list[dict[str, Any]]:
            """The window of each feature view."""
            from skewless.airflow.connections import expectations, workspace
            from skewless.airflow.window import window_of
            from skewless.online.materialization import materialize as verb

            work, window = workspace(project), window_of(get_current_context())
            views, name = work.definitions(), work.project
            stored, expected = work.online.stored_views([view for view, _ in views]), expectations(work)
            windows = verb.plan_partition(work.state, name, views, start=window.start, end=window.end, stored=stored)
            return [
                {"project": name, "window": w.to_builtins(), "expected": expected(w.view.stored_as)} for w in windows
            ]

        @task(pool=project.pool("online_store"), map_index_template=_VIEW)
        def materialize(planned: dict[str, Any]) -> dict[str, int]:
            """Materialize one view's window; returns its row counts."""
            from skewless.airflow.connections import gate, now, online_project
            from skewless.airflow.lineage import materialized
            from skewless.online.materialization import materialize as verb

            name, window = planned["project"], verb.ArrivalWindow.parse(planned["window"])
            materialized(name, window.view, window.source)
            counts = verb.run([window], online_project(project, name), clock=now, check=gate(project, planned))
            return asdict(counts[window.view.stored_as])

        @task(outlets=[online_store(project.name)], trigger_rule="none_failed")
        def fresh(planned: list[dict[str, Any]]) -> str:
            """Runs after every view is written; returns the file with the views' freshness metrics."""
            from skewless.airflow.connections import write_freshness

            return write_freshness(project, planned)

        materialize.expand(planned=(planned := plan())) >> fresh(planned)
    return dag
