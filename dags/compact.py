"""Compact: pushed parts folded into the days of their tables, once a day.

Scheduled by the clock, since pushes come at any time; readers see every row once before, during and after.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import CronTriggerTimetable, dag, task

from skewless.airflow.dag_defaults import OFFLINE_POOL, dag_arguments


@task(pool=OFFLINE_POOL)
def compact() -> dict[str, int]:
    """Fold the parts that were pushed before now; returns the number of parts by table."""
    from skewless.airflow.connections import workspace
    from skewless.contract.timestamps import to_micros
    from skewless.offline.tables import compaction as verb

    tables = {source.path: source for _, source in workspace().definitions()}
    parts = {}
    for folder, source in tables.items():
        now = to_micros(datetime.now(UTC))
        parts[folder.name] = verb.run(source, before=now, now=now).parts
    return parts


@dag(
    **dag_arguments(minutes=60, dag="skewless_compact"),
    description="Pushed parts folded into the days of their tables.",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    tags=["skewless", "offline"],
    doc_md=__doc__,
)
def timetable() -> None:
    compact()


timetable()
