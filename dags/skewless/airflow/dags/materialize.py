"""Materialize: a partition's rows into the online store, one task per feature view, then `fresh` once after all.

Held by tests/airflow/test_side_by_side.py.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, PartitionedAssetTimetable, get_current_context, task
from skewless.airflow import view_tasks
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.assets import offline_store, online_store
from skewless.airflow.dag_defaults import windowed

_VIEW = "{{ task.op_kwargs['planned']['window']['view']['stored_as'] }}"


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **windowed(project, "materialize", "online", __doc__),
        description="What a partition brought into the online store, a task a feature view.",
        schedule=project.schedule("materialize", PartitionedAssetTimetable(assets=offline_store(project.name))),
    ) as dag:

        @task
        def plan() -> list[dict[str, Any]]:
            """The window of each feature view."""
            return view_tasks.plan(project, get_current_context())

        @task(pool=project.pool("online_store"), map_index_template=_VIEW)
        def materialize(planned: dict[str, Any]) -> dict[str, int]:
            """Materialize one view's window; returns its row counts."""
            return view_tasks.materialize(project, planned)

        @task(pool=project.pool("online_store"), trigger_rule="none_failed")
        def outputs() -> dict[str, int]:
            """What on-demand views store, once their source views are written; returns the number of rows by view."""
            return view_tasks.store_outputs(project, get_current_context())

        @task(outlets=[online_store(project.name)], trigger_rule="none_failed")
        def fresh(planned: list[dict[str, Any]]) -> str:
            """Runs after every view is written; returns the file with the views' freshness metrics."""
            return view_tasks.write_freshness(project, planned)

        materialize.expand(planned=(planned := plan())) >> outputs() >> fresh(planned)
    return dag
