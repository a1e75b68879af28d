"""Score: the spine's rows of a partition through the champion, as the server would have answered at their times.

Runs when the online store holds the partition: by then the offline store does too. A window's scores are a folder of
their own, `scores/<model>/<start>--<end>`, replaced whole; where nothing changed it stays as it is. Skipped where no model
was named and the project declares none, or the one that it declares is not published yet.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task

from skewless.airflow.assets import ONLINE, SCORES
from skewless.airflow.dag_defaults import choice, windowed


@task(outlets=[SCORES])
def score() -> dict[str, Any]:
    """Score the window; with which version, how many rows, and where they are."""
    from skewless.airflow.connections import now, workspace
    from skewless.airflow.lineage import read_views
    from skewless.airflow.run_options import champion, choices, param
    from skewless.airflow.window import window_of
    from skewless.model.publishing.rollout_steps import open_published
    from skewless.model.scoring import batch_score as verb

    context, work = get_current_context(), workspace()
    asked, window, registry = choices(context), window_of(context), work.settings.registry
    declared = work.model(asked.get("model"))
    model, version = champion(declared, registry)
    bundle, place = open_published(registry, model, version), registry.bundle(model, version)
    work.confirm(f"{model} {version}", bundle.plan)
    read_views(work.project, bundle.plan.views)
    table = asked.get("spine") or declared.spec(param("spine")).spine
    spine = verb.ScoringSpine(work.folders.data / table, window.start, window.end)
    folder = work.folders.scores / model / window.folder
    sources, memory = work.sources(bundle.plan), work.settings.join_memory
    done = verb.run(bundle, place, sources, spine, folder, scored_at=now(), memory=memory)
    return {"version": version, "rows": done.rows, "made": done.written, "folder": str(folder)}


@dag(
    **windowed(
        minutes=60,
        dag="skewless_score",
        model=choice("string", "Model whose champion scores."),
        spine=choice("string", "Table of the rows, in the data folder."),
    ),
    description="The rows of a partition through the champion.",
    schedule=PartitionedAssetTimetable(assets=ONLINE),
    tags=["skewless", "model"],
    doc_md=__doc__,
)
def timetable() -> None:
    score()


timetable()
