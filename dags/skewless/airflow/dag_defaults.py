"""The arguments that all DAGs share: owner, retries, deadline and alerts.

The first delay before a retry is Airflow's `[core] default_task_retry_delay`, doubled each time.

Held by tests/airflow/test_timetables.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, RetryDecision, RetryPolicy, SyncCallback, task
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

ALERTS = "skewless_alerts"
"""A connection of type http; where it exists, failures are posted to it as JSON with a `text`."""

OFFLINE_POOL = "skewless_offline_store"
"""Of one slot: tasks that rewrite files of tables run one at a time."""

ONLINE_POOL = "skewless_online_store"
"""Its slots limit how many tasks write to the online store at once."""

TRAINING_POOL = "skewless_training"
"""Of one slot: models are trained one after the other."""

_ALERT_SECONDS = 10.0


class FailOnRefusal(RetryPolicy):
    """Fails a task at once where Skewless refused, since it would refuse again; retries everything else (a store that
    does not respond, a lost connection, a killed process).
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's own signature
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ANN401, ARG002
    ) -> RetryDecision:
        from skewless.contract.errors import SkewlessError

        if isinstance(exception, SkewlessError) and not exception.transient:
            return RetryDecision.fail(f"{type(exception).__name__}: {exception}")
        return RetryDecision.default()


def alert_failure(context: Mapping[str, Any]) -> None:
    """Alert that a task failed, for which view and window, and what to do: in its log and to `skewless_alerts`."""
    alert(_failure(context))


def late(dag: str, minutes: int, context: Mapping[str, Any] | None = None) -> None:
    """Alert that a run of `dag` has not ended `minutes` after it was queued."""
    run = ((context or {}).get("dag_run") or {}).get("dag_run_id", "")
    alert(
        f"{dag}: run {run} is late, it has not ended {minutes} minutes after it was queued; look at it in the UI's grid"
    )


def dag_arguments(minutes: int, dag: str, wait: timedelta = timedelta(0)) -> dict[str, Any]:
    """Arguments of a DAG that has one run at a time and should end within `minutes` of being queued, or `wait` later where
    it waits for a person.
    """
    due = timedelta(minutes=minutes) + wait
    deadline = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=due,
        callback=SyncCallback(late, kwargs={"dag": dag, "minutes": due // timedelta(minutes=1)}),
    )
    return {
        "dag_id": dag,
        "catchup": False,
        "max_active_runs": 1,
        "deadline": deadline,
        "default_args": {
            "owner": "skewless",
            "retries": 4,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=30),
            "retry_policy": FailOnRefusal(),
            "execution_timeout": timedelta(minutes=minutes),
            "on_failure_callback": alert_failure,
        },
    }


def windowed(minutes: int, dag: str, wait: timedelta = timedelta(0), **options: Param) -> dict[str, Any]:
    """`dag_arguments` of a DAG whose runs are for a window, with the params `start`, `end` and `options`."""
    description = "of the window, UTC, as 2013-02-01T00:00:00Z; left empty, the partition key's window."
    window = {
        name: Param(None, type=["null", "string"], description=f"{name.capitalize()} {description}")
        for name in ("start", "end")
    }
    return dag_arguments(minutes, dag, wait) | {"params": window | options}


def optional_param(kind: str, description: str) -> Param:
    """A param that may be left empty: see `skewless.airflow.run_options`. `kind` is a type of JSON Schema."""
    return Param(None, type=["null", kind], description=description)


@task
def served_versions() -> list[dict[str, str]]:
    """The `model` and `version` of each served log."""
    from skewless.airflow.connections import settings

    folders = sorted(settings().folders.served.glob("model=*/version=*"))
    return [dict(part.split("=", 1) for part in folder.parts[-2:]) for folder in folders]


def alert(text: str) -> None:
    """Write an error to the log, and post it to `skewless_alerts`."""
    import httpx

    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException
    from skewless.airflow.connections import web_url

    log = logging.getLogger(__name__)
    log.error(text)
    try:
        url = web_url(Connection.get(ALERTS))
        httpx.post(url, json={"text": text}, timeout=_ALERT_SECONDS).raise_for_status()
    except AirflowNotFoundException:
        return
    except httpx.HTTPError as error:
        log.warning("the alert was not delivered: %s", error)


def _failure(context: Mapping[str, Any]) -> str:
    from skewless.airflow.window import WindowMissing, window_of

    instance = context["task_instance"]
    try:
        window = f" for {window_of(context)}"
    except WindowMissing:
        window = ""
    view = f" of view {instance.rendered_map_index}" if getattr(instance, "rendered_map_index", None) else ""
    reason = context.get("exception") or "its process ended"
    return f"{instance.dag_id}: {instance.task_id}{view}{window} failed: {reason}"
