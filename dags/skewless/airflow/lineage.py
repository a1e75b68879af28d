"""Lineage of a task for OpenLineage: tables as files, feature views as datasets `feast` / `project.view`.

Airflow's OpenLineage provider reads it from the task's inlets and outlets. Where it is not installed, or has no
transport, nothing is emitted.

Held by tests/airflow/test_dags_of_data.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.common.compat.lineage.entities import Column, File, Table
from airflow.sdk import get_current_context
from skewless.contract.plan import PlanView

if TYPE_CHECKING:
    from skewless.offline.tables.source import TableSource

NAMESPACE = "feast"


def wrote_tables(folders: Iterable[Path]) -> None:
    """The task wrote these tables of the offline store."""
    task = get_current_context()["task"]
    task.outlets = [*task.outlets, *(_file(folder) for folder in folders)]


def materialized(project: str, view: PlanView, table: TableSource) -> None:
    """The task wrote rows of the table into the feature view online."""
    task = get_current_context()["task"]
    task.inlets = [*task.inlets, File(url=table.remote.url) if table.remote else _file(table.path)]
    task.outlets = [*task.outlets, _dataset(project, view)]


def read_views(project: str, views: Iterable[PlanView]) -> None:
    """The task read these feature views."""
    task = get_current_context()["task"]
    task.inlets = [*task.inlets, *(_dataset(project, view) for view in views)]


def _file(path: Path) -> File:
    return File(url=f"file://{path}")


def _dataset(project: str, view: PlanView) -> Table:
    columns = [Column(name=field.name, data_type=field.dtype) for field in view.fields]
    return Table(cluster=NAMESPACE, database=project, name=view.stored_as, columns=columns)
