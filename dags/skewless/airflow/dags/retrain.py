"""Retrain: trains on what was known by the window's end and compares with the champion; a better model becomes a canary.

Runs weekly, and when the model drifted. Unless its rule or the param `approval` says otherwise a person approves a better one.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, PartitionedAssetTimetable, get_current_context, task
from skewless.airflow import retrain_tasks
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.approval import WITHIN, TimedApproval
from skewless.airflow.assets import drift
from skewless.airflow.dag_defaults import windowed

WEEKLY = CronTriggerTimetable("0 7 * * 1", timezone="UTC", interval=timedelta(weeks=1))


def by_clock(project: AirflowProject, model: str) -> DAG:
    """The DAG of every week."""
    return _timetable(project, "retrain", model, WEEKLY)


def on_drift(project: AirflowProject, model: str) -> DAG:
    """The DAG that runs when the model drifted."""
    return _timetable(project, "retrain_on_drift", model, PartitionedAssetTimetable(assets=drift(project.name, model)))


def _timetable(project: AirflowProject, kind: str, model: str, default: object) -> DAG:
    with DAG(
        **windowed(project, kind, "retrain", __doc__, model=model, wait=WITHIN, params=retrain_tasks.PARAMS),
        description=f"The model {model} trained anew, compared with the champion.",
        schedule=project.schedule(kind, default, model),
    ) as dag:

        @task(pool=project.pool("training"))
        def retrain() -> dict[str, Any]:
            """Train, publish a candidate and compare; returns the verdict."""
            return retrain_tasks.retrain(project, model, get_current_context())

        @task.branch
        def decide(verdict: dict[str, Any]) -> str | None:
            """The next task, if any: an approval, or the canary at once."""
            return ("approve" if verdict["approval"] else "canary") if verdict["better"] else None

        @task(trigger_rule="none_failed_min_one_success")
        def canary(verdict: dict[str, Any]) -> str:
            """Start the candidate's canary; returns the new rollout revision."""
            return retrain_tasks.canary(project, get_current_context(), verdict)

        ask = f"Try the retrained {model} on requests?"
        approve = TimedApproval(task_id="approve", subject=ask, body=retrain_tasks.SUMMARY, project=project.name)
        trial = canary(verdict := retrain())
        decide(verdict) >> [approve, trial]
        approve >> trial
    return dag
