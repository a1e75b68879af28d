"""Compact: pushed parts folded into the days of their tables, once a day.

Scheduled by the clock, since pushes come at any time; readers see every row once before, during and after.

Held by tests/airflow/test_dags_of_data.py.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, CronTriggerTimetable, task
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import dag_arguments


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **dag_arguments(project, "compact", "offline", __doc__),
        description="Pushed parts folded into the days of their tables.",
        schedule=project.schedule("compact", CronTriggerTimetable("30 3 * * *", timezone="UTC")),
    ) as dag:

        @task(pool=project.pool("offline_store"))
        def compact() -> dict[str, int]:
            """Fold the parts that were pushed before now; returns the number of parts by table."""
            from skewless.airflow.connections import workspace
            from skewless.contract.timestamps import to_micros
            from skewless.offline.tables import compaction as verb

            tables = {source.path: source for _, source in workspace(project).definitions()}
            parts = {}
            for folder, source in tables.items():
                now = to_micros(datetime.now(UTC))
                parts[folder.name] = verb.run(source, before=now, now=now).parts
            return parts

        compact()
    return dag
