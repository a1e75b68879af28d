"""Retrain: a model of what was known by the window's end, held against the champion; a better one becomes a canary.

Runs when a model drifted and, since models age without drift too, weekly. Unless the choice `approval` is false, a person
decides about a better one within three days; rejected, nothing changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, PartitionedAssetTimetable, dag, get_current_context, task

from skewless.airflow.approval import TimedApproval
from skewless.airflow.assets import DRIFT
from skewless.airflow.dag_defaults import TRAINING_POOL, windowed
from skewless.airflow.retrain_tasks import CHOICES

SUBJECT, TOLD = "Try the retrained model on requests?", "{{ ti.xcom_pull(task_ids='retrain')['told'] }}"
WITHIN = timedelta(days=3)


@task(pool=TRAINING_POOL)
def retrain() -> dict[str, Any]:
    """Train, publish a candidate and compare; the verdict."""
    from skewless.airflow import retrain_tasks

    return retrain_tasks.retrain(get_current_context())


@task.branch
def decide(found: dict[str, Any]) -> str | None:
    """Who comes next: a person, the canary at once, or nobody where the candidate is not better."""
    if not found["better"]:
        return None
    return "approve" if found["approval"] else "canary"


@task(trigger_rule="none_failed_min_one_success")
def canary(found: dict[str, Any]) -> str:
    """Try the candidate; the rollout then."""
    from skewless.airflow import retrain_tasks

    return retrain_tasks.canary(get_current_context(), found)


def _timetable(dag_id: str, schedule: CronTriggerTimetable | PartitionedAssetTimetable) -> None:
    @dag(**windowed(60, dag_id, waits=WITHIN, **CHOICES), schedule=schedule, tags=["skewless", "model"], doc_md=__doc__,
         description="A model trained anew, held against the champion.")  # fmt: skip
    def timetable() -> None:
        approve = TimedApproval(task_id="approve", subject=SUBJECT, body=TOLD, within=WITHIN)
        trial = canary(found := retrain())
        decide(found) >> [approve, trial]
        approve >> trial

    timetable()


_timetable("skewless_retrain", PartitionedAssetTimetable(assets=DRIFT))
_timetable("skewless_retrain_weekly", CronTriggerTimetable("0 7 * * 1", timezone="UTC", interval=timedelta(weeks=1)))
