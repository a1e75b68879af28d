"""Trim: the served log's days that are over become a file each, and those that are older than `keep` go, once a day.

By the clock, as requests come at any time. Without `keep` nothing is removed.
"""

from __future__ import annotations

from airflow.sdk import CronTriggerTimetable, dag, get_current_context, task

from skewless.airflow.dag_defaults import OFFLINE_POOL, choice, terms


@task(pool=OFFLINE_POOL)
def trim() -> str:
    """Fold and remove; how many files and days."""
    from skewless.airflow.connections import now, settings
    from skewless.airflow.run_options import choices
    from skewless.monitoring.served_log import days as verb
    from skewless.runtime.durations import duration

    keep = choices(get_current_context()).get("keep")
    found = verb.days(settings().folders.served)
    return str(verb.trim(found, now().date(), duration(keep) if keep else None))


@dag(
    **terms(minutes=60, dag="skewless_trim"),
    description="The served log's old days folded, and removed once they are old enough.",
    schedule=CronTriggerTimetable("0 4 * * *", timezone="UTC"),
    params={"keep": choice("string", "Remove days older than this, as 90d.")},
    tags=["skewless", "offline"],
    doc_md=__doc__,
)
def timetable() -> None:
    trim()


timetable()
