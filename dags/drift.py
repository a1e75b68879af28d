"""Drift: what each model version was served in a day (UTC), compared with what it was trained on.

Red where something drifted, with the report's page in the log; `skewless_drift` is then told of, for retraining.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronPartitionTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from skewless.airflow.assets import DRIFT
from skewless.airflow.dag_defaults import served_versions, windowed


@task(map_index_template="{{ task.op_kwargs['served']['model'] }} {{ task.op_kwargs['served']['version'] }}")
def drift(served: dict[str, str]) -> dict[str, Any]:
    """Compare what one model version was served; what was found, and where the page is."""
    from skewless.airflow.connections import now, settings
    from skewless.airflow.window import window_of
    from skewless.monitoring.drift import served_window
    from skewless.monitoring.drift.drift import ServedWindow
    from skewless.monitoring.reports.drift_files import write_report

    known, window = settings(), window_of(get_current_context())
    found = served_window.run(known, ServedWindow(**served, start=window.start, end=window.end))
    page = write_report(known.folders.reports, found, now())
    return {"model": found.model, "clean": found.clean, "told": f"{found}; report: {page}"}


@task
def alarm(found: list[dict[str, Any]]) -> None:
    """Red where anything drifted."""
    if told := [one["told"] for one in found if not one["clean"]]:
        raise AirflowFailException("\n".join(["gate drift:", *told]))


@task(outlets=[DRIFT])
def drifted(found: list[dict[str, Any]]) -> None:
    """Something drifted: which models."""
    if not (models := sorted({result["model"] for result in found if not result["clean"]})):
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
    alarm(found := drift.expand(served=served_versions()))
    drifted(found)


timetable()
