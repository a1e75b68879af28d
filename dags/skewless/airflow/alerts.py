"""Alerts for whoever is on call: to the task's log, and to an Airflow connection of type http where there is one.

Held by tests/airflow/test_dags_of_data.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ALERT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of a project. They are posted as JSON with a `text` to the connection `skewless_<project>_alerts`, or to
    `skewless_alerts`, which all projects share.
    """

    project: str

    def task_failed(self, context: Mapping[str, Any]) -> None:
        """Alert that a task failed, for which view and window, and what to do."""
        self.send(_failure(context))

    def send(self, text: str) -> None:
        """Write an error to the log, and post it."""
        import httpx

        from skewless.airflow.connections import connection, web_url

        log = logging.getLogger(__name__)
        log.error(text)
        if (target := connection(self.project, "alerts")) is None:
            return
        try:
            httpx.post(web_url(target), json={"text": text}, timeout=_ALERT_SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the alert was not delivered: %s", error)


def late(dag: str, minutes: int, project: str, context: Mapping[str, Any] | None = None) -> None:
    """Alert that a run of `dag` has not ended `minutes` after it was queued."""
    run = ((context or {}).get("dag_run") or {}).get("dag_run_id", "")
    Alerts(project).send(
        f"{dag}: run {run} is late, it has not ended {minutes} minutes after it was queued; look at it in the UI's grid"
    )


def _failure(context: Mapping[str, Any]) -> str:
    from skewless.airflow.window import WindowMissing, window_of

    instance = context["task_instance"]
    try:
        window = f" for {window_of(context)}"
    except WindowMissing:
        window = ""
    item = f" of {instance.rendered_map_index}" if getattr(instance, "rendered_map_index", None) else ""
    reason = context.get("exception") or "its process ended"
    return f"{instance.dag_id}: {instance.task_id}{item}{window} failed: {reason}"
