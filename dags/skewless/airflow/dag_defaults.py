"""The arguments that all DAGs share: owner, retries, deadline and alerts.

The first delay before a retry is Airflow's `[core] default_task_retry_delay`, doubled each time.

Held by tests/airflow/test_timetables.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, RetryDecision, RetryPolicy, SyncCallback, task
from airflow.sdk.bases.decorator import TaskDecorator
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.alerts import Alerts, late

SERVED_NAME = "{{ task.op_kwargs['served']['model'] }} {{ task.op_kwargs['served']['version'] }}"
"""How a task for one served model version is called in the UI."""


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


def dag_arguments(
    project: AirflowProject,
    kind: str,
    tag: str,
    about: str | None,
    *,
    model: str = "",
    minutes: int = 60,
    wait: timedelta = timedelta(0),
    params: Mapping[str, Param] | None = None,
) -> dict[str, Any]:
    """Arguments of a DAG that has one run at a time and should end within `minutes` of being queued, or `wait` later where
    it waits for a person. `about` is the docstring of its module, for the UI.
    """
    dag, options, due = project.dag_id(kind, model), project.options, timedelta(minutes=minutes) + wait
    told = {"dag": dag, "minutes": due // timedelta(minutes=1), "project": project.name}
    deadline = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=due, callback=SyncCallback(late, kwargs=told)
    )
    return {
        "dag_id": dag,
        "catchup": False,
        "start_date": options.start_date,
        "max_active_runs": 1,
        "deadline": deadline,
        "params": dict(params or {}),
        "doc_md": str(about).partition("\nHeld by ")[0],
        "tags": list(dict.fromkeys(("skewless", project.name, tag, *options.tags))),
        "default_args": {
            "owner": "skewless",
            "retries": 4,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=30),
            "retry_policy": FailOnRefusal(),
            "execution_timeout": timedelta(minutes=minutes),
            "on_failure_callback": Alerts(project.name).task_failed,
            **options.default_args,
        },
    }


def windowed(
    project: AirflowProject,
    kind: str,
    tag: str,
    about: str | None,
    **arguments: Any,  # noqa: ANN401 - passed on
) -> dict[str, Any]:
    """`dag_arguments` of a DAG whose runs are for a window, with the params `start` and `end` too."""
    description = "of the window, UTC, as 2013-02-01T00:00:00Z; left empty, the partition key's window."
    window = {
        name: Param(None, type=["null", "string"], description=f"{name.capitalize()} {description}")
        for name in ("start", "end")
    }
    params = window | dict(arguments.pop("params", {}))
    return dag_arguments(project, kind, tag, about, params=params, **arguments) | {"catchup": project.options.catchup}


def optional_param(kind: str, description: str) -> Param:
    """A param that may be left empty: see `skewless.airflow.run_options`. `kind` is a type of JSON Schema."""
    return Param(None, type=["null", kind], description=description)


def served_versions(project: AirflowProject) -> TaskDecorator:
    """The task that returns the `model` and `version` of each served log."""

    @task
    def served_versions() -> list[dict[str, str]]:
        """The model versions that were served."""
        from skewless.airflow.connections import settings

        folders = sorted(settings(project).folders.served.glob("model=*/version=*"))
        return [dict(part.split("=", 1) for part in folder.parts[-2:]) for folder in folders]

    return served_versions
