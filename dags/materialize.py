"""Materialize: a partition's rows into the online store, one task per feature view, then `fresh` once after all."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task

from skewless.airflow.assets import OFFLINE, ONLINE
from skewless.airflow.dag_defaults import ONLINE_POOL, windowed


@task
def plan() -> list[dict[str, Any]]:
    """The window of each feature view."""
    from skewless.airflow.connections import expectations, workspace
    from skewless.airflow.window import window_of
    from skewless.online.materialization import materialize as verb

    work, window = workspace(), window_of(get_current_context())
    views, name = work.definitions(), work.project
    stored, expected = work.online.stored_views([view for view, _ in views]), expectations(work)
    windows = verb.plan_partition(work.state, name, views, start=window.start, end=window.end, stored=stored)
    return [{"project": name, "window": w.to_builtins(), "expected": expected(w.view.stored_as)} for w in windows]


@task(pool=ONLINE_POOL, map_index_template="{{ task.op_kwargs['planned']['window']['view']['stored_as'] }}")
def materialize(planned: dict[str, Any]) -> dict[str, int]:
    """Materialize one view's window; returns its row counts."""
    from skewless.airflow.connections import gate, now, online_project
    from skewless.airflow.lineage import materialized
    from skewless.online.materialization import materialize as verb

    project, window = planned["project"], verb.ArrivalWindow.parse(planned["window"])
    materialized(project, window.view, window.source.path)
    counts = verb.run([window], online_project(project), clock=now, check=gate(planned))
    return asdict(counts[window.view.stored_as])


@task(outlets=[ONLINE], trigger_rule="none_failed")
def fresh(planned: list[dict[str, Any]]) -> str:
    """Runs after every view is written; returns the file with the views' freshness metrics."""
    from skewless.airflow.connections import write_freshness

    return write_freshness(planned)


@dag(
    **windowed(minutes=60, dag="skewless_materialize"),
    description="What a partition brought into the online store, a task a feature view.",
    schedule=PartitionedAssetTimetable(assets=OFFLINE),
    tags=["skewless", "online"],
    doc_md=__doc__,
)
def timetable() -> None:
    materialize.expand(planned=(planned := plan())) >> fresh(planned)


timetable()
