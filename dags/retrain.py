"""Retrain: trains on what was known by the window's end and compares with the champion; a better model becomes a canary.

Runs when a model drifted and, since models age without drift too, weekly. Unless the param `approval` is false, a person
approves or rejects a better model within three days; rejected, nothing changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, PartitionedAssetTimetable, dag, get_current_context, task

from skewless.airflow.approval import TimedApproval
from skewless.airflow.assets import DRIFT
from skewless.airflow.dag_defaults import TRAINING_POOL, windowed
from skewless.airflow.retrain_tasks import OPTIONS

SUBJECT, BODY = "Try the retrained model on requests?", "{{ ti.xcom_pull(task_ids='retrain')['summary'] }}"
WITHIN = timedelta(days=3)


@task(pool=TRAINING_POOL)
def retrain() -> dict[str, Any]:
    """Train, publish a candidate and compare; returns the verdict."""
    from skewless.airflow import retrain_tasks

    return retrain_tasks.retrain(get_current_context())


@task.branch
def decide(verdict: dict[str, Any]) -> str | None:
    """The next task: approval, the canary at once, or none where the candidate is not better."""
    if not verdict["better"]:
        return None
    return "approve" if verdict["approval"] else "canary"


@task(trigger_rule="none_failed_min_one_success")
def canary(verdict: dict[str, Any]) -> str:
    """Start the candidate's canary; returns the new rollout revision."""
    from skewless.airflow import retrain_tasks

    return retrain_tasks.canary(get_current_context(), verdict)


def _timetable(dag_id: str, schedule: CronTriggerTimetable | PartitionedAssetTimetable) -> None:
    @dag(**windowed(60, dag_id, wait=WITHIN, **OPTIONS), schedule=schedule, tags=["skewless", "model"], doc_md=__doc__,
         description="A model trained anew, compared with the champion.")  # fmt: skip
    def timetable() -> None:
        approve = TimedApproval(task_id="approve", subject=SUBJECT, body=BODY, within=WITHIN)
        trial = canary(verdict := retrain())
        decide(verdict) >> [approve, trial]
        approve >> trial

    timetable()


_timetable("skewless_retrain", PartitionedAssetTimetable(assets=DRIFT))
_timetable("skewless_retrain_weekly", CronTriggerTimetable("0 7 * * 1", timezone="UTC", interval=timedelta(weeks=1)))
