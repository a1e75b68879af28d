"""Retrain: a model of what was known by the window's end, a bundle that proves itself; then a person approves it.

Runs when a model drifted, or by hand. Without the param `approval` the new version serves at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task

from dags.assets import DRIFT
from dags.terms import windowed
from dags.training import params

TOLD = "{{ ti.xcom_pull(task_ids='publish')['told'] }}"
TERMS = windowed(minutes=60, dag="skewless_retrain")


@task
def train() -> str:
    from dags import training
    from dags.window import window_of

    context = get_current_context()
    return training.train(context["params"], window_of(context).end)


@task
def publish() -> dict[str, Any]:
    from dags import connections, training

    return training.publish(get_current_context()["params"], connections.now())


@task.branch
def ask() -> str:
    return "approve" if get_current_context()["params"]["approval"] else "promote"


@task(trigger_rule="none_failed_min_one_success")
def promote(published: dict[str, Any]) -> None:
    from dags.connections import now, settings
    from pipelines.publish import champion

    champion(settings().folders.models, published["model"], published["version"], now())


@dag(**TERMS | {"params": TERMS["params"] | params()}, schedule=PartitionedAssetTimetable(assets=DRIFT),
     description="A model of what is known by now, for a person to approve.", tags=["skewless", "model"], doc_md=__doc__)  # fmt: skip
def timetable() -> None:
    wait = {"execution_timeout": None, "response_timeout": timedelta(days=7)}
    approve = ApprovalOperator(task_id="approve", subject="Promote the retrained model?", body=TOLD, **wait)
    train() >> (made := publish()) >> ask() >> [approve, serve := promote(made)]
    approve >> serve


timetable()
