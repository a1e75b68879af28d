"""Trim: folds each past day of the served log into one file and removes days older than `keep`, once a day.

Scheduled by the clock, as requests come at any time. Without `keep` nothing is removed.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, get_current_context, task
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import dag_arguments, optional_param

PARAMS = {"keep": optional_param("string", "Remove days older than this, as 90d.")}


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **dag_arguments(project, "trim", "offline", __doc__, params=PARAMS),
        description="The served log's old days folded, and removed once they are old enough.",
        schedule=project.schedule("trim", CronTriggerTimetable("0 4 * * *", timezone="UTC")),
    ) as dag:

        @task(pool=project.pool("offline_store"))
        def trim() -> str:
            """Fold and remove; returns the numbers of files and days."""
            from skewless.airflow.connections import now, settings
            from skewless.airflow.run_options import run_options
            from skewless.monitoring.served_log import days as verb
            from skewless.runtime.durations import duration

            keep = run_options(get_current_context()).get("keep")
            days = verb.days(settings(project).folders.served)
            return str(verb.trim(days, now().date(), duration(keep) if keep else None))

        trim()
    return dag
