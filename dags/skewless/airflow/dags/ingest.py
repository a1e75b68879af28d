"""Ingest: a partition's rows of the tables that the project declares into the offline store, a task for each table.

By day for all tables; by hour for those that are declared with `every="hour"`, to have them sooner: the next run by day
fills these too, and backfills of long ranges go by day.

Held by tests/airflow/test_side_by_side.py.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task
from skewless.airflow import table_tasks
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.assets import offline_store
from skewless.airflow.dag_defaults import windowed
from skewless.airflow.dag_options import DAY_KEY, HOUR_KEY, partitions

DAGS = {
    "day": ("ingest_daily", partitions("0 0 * * *", DAY_KEY, at_once=True)),
    "hour": ("ingest_hourly", partitions("0 * * * *", HOUR_KEY, at_once=True)),
}


def timetable(project: AirflowProject, every: str) -> DAG:
    """The DAG of a project for every "day" or "hour"."""
    with DAG(
        **windowed(project, DAGS[every][0], "offline", __doc__),
        description=f"Rows of the last full {every} into the offline store.",
        schedule=project.schedule(*DAGS[every]),
    ) as dag:

        @task
        def tables() -> list[str]:
            """The tables to fill."""
            return table_tasks.tables(project, every)

        @task(pool=project.pool("offline_store"), map_index_template="{{ task.op_kwargs['table'] }}")
        def ingest(table: str) -> int:
            """Write the partition's rows of a table; returns their number."""
            return table_tasks.ingest(project, table, get_current_context())

        @task(outlets=[offline_store(project.name)], trigger_rule="none_failed_min_one_success")
        def filled() -> None:
            """Runs after every table is written."""

        ingest.expand(table=tables()) >> filled()
    return dag
