"""Materialize: what a partition brought into the online store, a task a feature view, a run at a time, so that
partitions may come in any order, and again. `fresh` tells those downstream, once, after every view is written.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task

from dags.assets import OFFLINE, ONLINE
from dags.terms import ONLINE_POOL, windowed


@task
def plan() -> list[dict[str, Any]]:
    """The window of each feature view."""
    from dags.connections import workspace
    from dags.window import window_of
    from pipelines import materialize as verb
    from pipelines.gates import Gates

    work, window = workspace(), window_of(get_current_context())
    views = work.stored()
    stored = work.online.definitions([view for view, _ in views])
    windows = verb.plan_partition(work.state, work.project, views, start=window.start, end=window.end, stored=stored)
    gated = Gates.of(work).by_view
    return [{"project": work.project, "gated": w.view.stored_as in gated, "window": w.plain()} for w in windows]


@task(pool=ONLINE_POOL, map_index_template="{{ task.op_kwargs['planned']['window']['view']['stored_as'] }}")
def materialize(planned: dict[str, Any]) -> dict[str, int]:
    """One view's window into the online store; its rows."""
    from dags.connections import door, online_store
    from dags.lineage import materialized
    from pipelines import materialize as verb

    project, window = planned["project"], verb.Window.parse(planned["window"])
    materialized(project, window.view, window.source.path)
    check, now = door(window.view.stored_as, gated=planned["gated"]), lambda: datetime.now(UTC)
    (counts,) = verb.run([window], *online_store(project), project, clock=now, check=check).values()
    return asdict(counts)


@task(outlets=[ONLINE], trigger_rule="none_failed")
def fresh() -> None: ...


@dag(
    **windowed(minutes=60, dag="skewless_materialize"),
    description="What a partition brought into the online store, a task a feature view.",
    schedule=PartitionedAssetTimetable(assets=OFFLINE),
    tags=["skewless", "online"],
    doc_md=__doc__,
)
def timetable() -> None:
    materialize.expand(planned=plan()) >> fresh()


timetable()
