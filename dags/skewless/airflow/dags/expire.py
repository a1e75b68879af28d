"""Expire: removes rows that are long past their view's ttl from the online store, once a day.

Old definitions of views that no model reads any more are removed first. As of each view's watermark: a store that is not
materialized loses nothing. (Where the project uses the server's own expiry, this corrects the rows' deadlines.)

Held by tests/airflow/test_dags_of_proofs.py.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, task
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import dag_arguments


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **dag_arguments(project, "expire", "online", __doc__),
        description="Rows that are long out of their ttl leave the online store.",
        schedule=project.schedule("expire", CronTriggerTimetable("0 5 * * *", timezone="UTC")),
    ) as dag:

        @task(pool=project.pool("online_store"))
        def expire() -> dict[str, int]:
            """Remove them; returns the number of rows by view with a ttl."""
            from skewless.airflow.connections import now, workspace
            from skewless.online.maintenance import expiry
            from skewless.project import retained_definitions

            work = workspace(project)
            retained_definitions.sweep(work, now())
            return expiry.run([view for view, _ in work.definitions()], work.online_project)

        expire()
    return dag
