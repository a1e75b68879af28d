"""The work of the tasks that fill a project's tables.

Held by tests/airflow/test_dags_of_data.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from skewless.airflow.airflow_project import AirflowProject


def tables(project: AirflowProject, every: str) -> list[str]:
    """The tables that are filled every "day" (all) or "hour". Raises: AirflowSkipException where there is none."""
    from airflow.sdk.exceptions import AirflowSkipException
    from skewless.airflow.connections import workspace

    declared = workspace(project).tables
    filled = [table for table in declared.by_name.values() if table.extent != "files"]
    names = [table.name for table in filled if every in ("day", table.every)]
    if not names:
        raise AirflowSkipException(f"no table of {declared.path} is filled every {every}")
    return names


def ingest(project: AirflowProject, table: str, context: Mapping[str, Any]) -> int:
    """Write the rows of the run's days of a table, behind its gates; returns their number.

    Raises: as `ProjectIngest.run`, WindowMissing.
    """
    from skewless.airflow.connections import workspace
    from skewless.airflow.lineage import wrote_tables
    from skewless.airflow.window import window_of
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.project.ingest import ProjectIngest

    work, (first, last) = workspace(project), window_of(context).days
    data = work.folders.data
    run = ProjectIngest(work, datetime.now(UTC), QualityGates.of(work).day_checks(data))
    (result,) = run.run([run.table(table)], first, last)
    wrote_tables([data / table])
    return result.rows
