"""The assets of a project: a successful run of one of its DAGs updates them, and triggers others.

`project` is the project's name, or the `prefix` of its DAGs. A DAG of your own updates one by `outlets=[...]`, and is
triggered by one in its schedule. All DAGs of a project are partitioned: an event counts only with a partition key, a UTC
day as 2024-01-31 or an hour as 2024-01-31T05.

Held by tests/airflow/test_timetables.py.
"""

from __future__ import annotations

from airflow.sdk import Asset


def offline_store(project: str) -> Asset:
    """The offline store holds a partition: every table has its rows."""
    return _asset(project, "offline_store")


def online_store(project: str) -> Asset:
    """The online store holds everything that arrived by the end of a partition, in every feature view."""
    return _asset(project, "online_store")


def drift(project: str, model: str) -> Asset:
    """The model's served inputs or scores in a partition differ from its training."""
    return _asset(project, "drift", model)


def scores(project: str, model: str) -> Asset:
    """The scores of a partition by the model's champion are in the folder of scores."""
    return _asset(project, "scores", model)


def _asset(project: str, *parts: str) -> Asset:
    return Asset("_".join((project, *parts)), uri="/".join((f"skewless://{project}", *parts)), group="skewless")
