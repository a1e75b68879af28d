"""The terms that every DAG runs under: its owner, which failures are tried again, when it is late, and who is told.

How long a task waits before it is tried again is Airflow's `[core] default_task_retry_delay`, doubled each time.

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
"""A connection of type http; where there is one, failures are posted to it as JSON with a `text`."""

OFFLINE_POOL = "skewless_offline_store"
"""Of one slot: who rewrites files of tables takes turns with all others who do."""

ONLINE_POOL = "skewless_online_store"
"""How many tasks may write to the online store at once."""

TRAINING_POOL = "skewless_training"
"""Of one slot: models are trained one after the other."""

_ALERT_SECONDS = 10.0


class FailOnRefusal(RetryPolicy):
    """What was refused will be refused again, so it fails at once and says why; all else (a store that does not answer,
    a lost connection, a killed process) is tried again.
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


def tell(context: Mapping[str, Any]) -> None:
    """Say what failed, for which view and window, and what mends it: in the task's log, and to `skewless_alerts`."""
    say(_failure(context))


def late(dag: str, minutes: int, context: Mapping[str, Any] | None = None) -> None:
    """Say that a run of `dag` has not ended `minutes` after it was queued."""
    run = ((context or {}).get("dag_run") or {}).get("dag_run_id", "")
    say(
        f"{dag}: run {run} is late, it has not ended {minutes} minutes after it was queued; look at it in the UI's grid"
    )


def terms(minutes: int, dag: str, waits: timedelta = timedelta(0)) -> dict[str, Any]:
    """Arguments of a DAG whose runs come one at a time and should end within `minutes` of being queued, and of those in
    which a person is waited for so much longer.
    """
    due = timedelta(minutes=minutes) + waits
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
            "on_failure_callback": tell,
        },
    }


def windowed(minutes: int, dag: str, waits: timedelta = timedelta(0), **choices: Param) -> dict[str, Any]:
    """The same for a DAG whose runs are for a window, which whoever triggers one by hand may name, and for `choices`."""
    told = "of the window, UTC, as 2013-02-01T00:00:00Z; left empty, the partition key says it."
    asked = {
        name: Param(None, type=["null", "string"], description=f"{name.capitalize()} {told}")
        for name in ("start", "end")
    }
    return terms(minutes, dag, waits) | {"params": asked | choices}


def choice(kind: str, told: str) -> Param:
    """A param that may be left empty: see `skewless.airflow.run_options`. `kind` is a type of JSON Schema."""
    return Param(None, type=["null", kind], description=told)


@task
def served_versions() -> list[dict[str, str]]:
    """The `model` and `version` of each served log."""
    from skewless.airflow.connections import settings

    found = sorted(settings().folders.served.glob("model=*/version=*"))
    return [dict(part.split("=", 1) for part in folder.parts[-2:]) for folder in found]


def say(text: str) -> None:
    """Tell it in the log, and `skewless_alerts`."""
    import httpx

    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException
    from skewless.airflow.connections import web_url

    log = logging.getLogger(__name__)
    log.error(text)
    try:
        to = web_url(Connection.get(ALERTS))
        httpx.post(to, json={"text": text}, timeout=_ALERT_SECONDS).raise_for_status()
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
    why = context.get("exception") or "its process ended"
    return f"{instance.dag_id}: {instance.task_id}{view}{window} failed: {why}"
