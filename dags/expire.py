"""Expire: removes rows that are long past their view's ttl from the online store, once a day.

Old definitions of views that no model reads any more are removed first. As of each view's watermark: a store that is not materialized loses nothing. (Where the project uses the server's own
expiry, this corrects the rows' deadlines.)
"""

from __future__ import annotations

from airflow.sdk import CronTriggerTimetable, dag, task

from skewless.airflow.dag_defaults import ONLINE_POOL, dag_arguments


@task(pool=ONLINE_POOL)
def expire() -> dict[str, int]:
    """Remove them; returns the number of rows by view with a ttl."""
    from skewless.airflow.connections import now, workspace
    from skewless.online.maintenance import expiry
    from skewless.project import retained_definitions

    work = workspace()
    retained_definitions.sweep(work, now())
    return expiry.run([view for view, _ in work.definitions()], work.online_project)


@dag(
    **dag_arguments(minutes=60, dag="skewless_expire"),
    description="Rows that are long out of their ttl leave the online store.",
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC"),
    tags=["skewless", "online"],
    doc_md=__doc__,
)
def timetable() -> None:
    expire()


timetable()
