"""Compact: pushed parts folded into the days of their tables, once a day.

By the clock, since pushes come at any time; readers see every row once before, meanwhile and after.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import CronTriggerTimetable, dag, task

from skewless.airflow.dag_defaults import OFFLINE_POOL, terms


@task(pool=OFFLINE_POOL)
def compact() -> dict[str, int]:
    """Fold what was pushed before now; how many parts, by table."""
    from skewless.airflow.connections import workspace
    from skewless.contract.timestamps import to_micros
    from skewless.offline.tables import compaction as verb

    tables = {source.path: source for _, source in workspace().stored()}
    done = {}
    for folder, source in tables.items():
        now = to_micros(datetime.now(UTC))
        done[folder.name] = verb.run(source, before=now, now=now).parts
    return done


@dag(
    **terms(minutes=60, dag="skewless_compact"),
    description="Pushed parts folded into the days of their tables.",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    tags=["skewless", "offline"],
    doc_md=__doc__,
)
def timetable() -> None:
    compact()


timetable()
