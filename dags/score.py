"""Score: the spine's rows of a partition through the champion, as the server would have scored them at their times.

Runs when the online store holds the partition: by then the offline store does too. A window's scores are a folder of
their own, `scores/<model>/<start>--<end>`, replaced whole; where nothing changed it stays as it is. Skipped where no model
was named and the project declares none, or the one that it declares is not published yet.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task

from skewless.airflow.assets import ONLINE, SCORES
from skewless.airflow.dag_defaults import optional_param, windowed


@task(outlets=[SCORES])
def score() -> dict[str, Any]:
    """Score the window; returns the version, the number of rows and their folder."""
    from skewless.airflow.connections import now, workspace
    from skewless.airflow.lineage import read_views
    from skewless.airflow.run_options import champion, param, run_options
    from skewless.airflow.window import window_of
    from skewless.model.publishing.rollout_steps import open_published
    from skewless.model.scoring import batch_score as verb

    context, work = get_current_context(), workspace()
    options, window, registry = run_options(context), window_of(context), work.settings.registry
    declared = work.model(options.get("model"))
    model, version = champion(declared, registry)
    bundle, place = open_published(registry, model, version), registry.bundle(model, version)
    work.confirm_scorable(f"{model} {version}", bundle.plan)
    read_views(work.project, bundle.plan.views)
    table = options.get("spine") or declared.spec(param("spine")).spine
    spine = verb.ScoringSpine(work.folders.data / table, window.start, window.end)
    folder = work.folders.scores / model / window.folder
    sources, memory = work.sources(bundle.plan), work.settings.join_memory
    result = verb.run(bundle, place, sources, spine, folder, scored_at=now(), memory=memory)
    return {"version": version, "rows": result.rows, "written": result.written, "folder": str(folder)}


@dag(
    **windowed(
        minutes=60,
        dag="skewless_score",
        model=optional_param("string", "Model whose champion scores."),
        spine=optional_param("string", "Table of the rows, in the data folder."),
    ),
    description="The rows of a partition through the champion.",
    schedule=PartitionedAssetTimetable(assets=ONLINE),
    tags=["skewless", "model"],
    doc_md=__doc__,
)
def timetable() -> None:
    score()


timetable()
