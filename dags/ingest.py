"""Ingest: the raw data of one partition into the offline store, by day or by hour (UTC).

Two DAGs, of which usually one is unpaused: by hour for freshness; by day for backfills of long ranges.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import CronPartitionTimetable, dag, task

from skewless.airflow.assets import OFFLINE
from skewless.airflow.dag_defaults import OFFLINE_POOL, windowed


@task(outlets=[OFFLINE], pool=OFFLINE_POOL)
def ingest() -> dict[str, int]:
    """Write the partition's rows of every table; returns the number of rows by table."""
    from airflow.sdk import get_current_context

    from skewless.airflow.connections import workspace
    from skewless.airflow.lineage import wrote_tables
    from skewless.airflow.window import window_of
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.project.ingest import ProjectIngest

    work, (first, last) = workspace(), window_of(get_current_context()).days
    data = work.folders.data
    run = ProjectIngest(work, datetime.now(UTC), QualityGates.of(work).day_checks(data))
    tables = run.run(work.tables.filled(), first, last)
    wrote_tables(data / table.table for table in tables)
    return {table.table: table.rows for table in tables}


def _timetable(every: str, span: str, cron: str, key: str) -> None:
    @dag(
        **windowed(minutes=60, dag=f"skewless_ingest_{every}"),
        description=f"Raw data of the last full {span} into the offline store.",
        schedule=CronPartitionTimetable(cron, timezone="UTC", run_offset=-1, key_format=key),
        tags=["skewless", "offline"],
        doc_md=__doc__,
    )
    def timetable() -> None:
        ingest()

    timetable()


_timetable("daily", "day", "0 0 * * *", "%Y-%m-%d")
_timetable("hourly", "hour", "0 * * * *", "%Y-%m-%dT%H")
