"""Score: the spine rows of a partition through the champion model, as the server would have answered at their times.

Runs when the online store holds the partition: by then the offline store does too. The scores of a partition are a
folder of their own, `scores/<model>/<partition's start>`; doing it again changes nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, PartitionedAssetTimetable, dag, get_current_context, task

from dags.assets import ONLINE
from dags.terms import windowed


@task
def score() -> dict[str, Any]:
    """Score the partition; which version, how many rows, and where they are."""
    from dags.connections import now, workspace
    from dags.lineage import read_views
    from dags.window import window_of
    from pipelines import score as verb
    from pipelines.rollout import champion_version
    from serving.contract.bundle import open_bundle
    from serving.contract.processor import processor_features

    context, work = get_current_context(), workspace()
    model, window = context["params"]["model"], window_of(context)
    registry = work.settings.registry
    place = registry.bundle(model, champion_version(registry, model))
    bundle = open_bundle(place, processor_features())
    work.confirm(f"{model} {place.name}", bundle.plan)
    read_views(work.project, bundle.plan.views)
    spine = verb.Spine(work.folders.data / context["params"]["spine"], window.start, window.end)
    folder = work.folders.scores / model / f"{window.start:%Y%m%dT%H%M%S}"
    done = verb.run(bundle, place, work.sources(bundle.plan), spine, folder, scored_at=now())
    return {"version": place.name, "rows": done.rows, "made": done.made, "folder": str(folder)}


TIMETABLE = windowed(minutes=60, dag="skewless_score")
TIMETABLE["params"] |= {
    "model": Param(default="flight_delay", type="string", description="Model that scores."),
    "spine": Param(default="flight_spine", type="string", description="Table of the rows, in the data folder."),
}


@dag(
    **TIMETABLE,
    description="The rows of a partition through the champion model.",
    schedule=PartitionedAssetTimetable(assets=ONLINE),
    tags=["skewless", "offline"],
    doc_md=__doc__,
)
def timetable() -> None:
    score()


timetable()
