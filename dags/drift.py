"""Drift: each model version's served inputs and scores of a day (UTC), compared with its training.

Fails where something drifted, with the report's page in the log; the asset `skewless_drift` then triggers retraining.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronPartitionTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from skewless.airflow.assets import DRIFT
from skewless.airflow.dag_defaults import served_versions, windowed


@task(map_index_template="{{ task.op_kwargs['served']['model'] }} {{ task.op_kwargs['served']['version'] }}")
def drift(served: dict[str, str]) -> dict[str, Any]:
    """Compare the served rows of one model version; the result, with the report's page."""
    from skewless.airflow.connections import now, settings
    from skewless.airflow.window import window_of
    from skewless.monitoring.drift import served_window
    from skewless.monitoring.drift.drift import ServedWindow
    from skewless.monitoring.reports.drift_files import write_report

    known, window = settings(), window_of(get_current_context())
    result = served_window.run(known, ServedWindow(**served, start=window.start, end=window.end))
    page = write_report(known.folders.reports, result, now())
    return {"model": result.model, "clean": result.clean, "summary": f"{result}; report: {page}"}


@task
def alarm(results: list[dict[str, Any]]) -> None:
    """Fail where anything drifted."""
    if drifts := [result["summary"] for result in results if not result["clean"]]:
        raise AirflowFailException("\n".join(["gate drift:", *drifts]))


@task(outlets=[DRIFT])
def drifted(results: list[dict[str, Any]]) -> None:
    """Update the asset with the models that drifted."""
    if not (models := sorted({result["model"] for result in results if not result["clean"]})):
        raise AirflowSkipException("nothing drifted")
    get_current_context()["outlet_events"][DRIFT].extra = {"models": models}


@dag(
    **windowed(minutes=60, dag="skewless_drift"),
    description="What each model version was served in a day, compared with what it was trained on.",
    schedule=CronPartitionTimetable("30 1 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    tags=["skewless", "proof"],
    doc_md=__doc__,
)
def timetable() -> None:
    alarm(results := drift.expand(served=served_versions()))
    drifted(results)


timetable()
