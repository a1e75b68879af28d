"""Score: the spine's rows of a partition through each model's champion, as the server would have scored them at their times.

Runs when the online store holds the partition: by then the offline store does too. A window's scores are a folder of
their own, `scores/<model>/<start>--<end>`, replaced whole; where nothing changed it stays as it is. A model is skipped
where it is not published yet, or retired.

Held by tests/airflow/test_dags_of_models.py.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, PartitionedAssetTimetable, get_current_context, task
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.assets import online_store, scores
from skewless.airflow.dag_defaults import windowed


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **windowed(project, "score", "model", __doc__),
        description="The rows of a partition through the champions.",
        schedule=project.schedule("score", PartitionedAssetTimetable(assets=online_store(project.name))),
    ) as dag:

        @task
        def score(model: str) -> dict[str, Any]:
            """Score the window; returns the version, the number of rows and their folder."""
            from skewless.airflow.connections import now, workspace
            from skewless.airflow.lineage import read_views
            from skewless.airflow.run_options import champion
            from skewless.airflow.window import window_of
            from skewless.model.publishing.rollout_steps import open_published
            from skewless.model.scoring import batch_score as verb

            work, window = workspace(project), window_of(get_current_context())
            registry, declared = work.settings.registry, work.model(model).spec("--model")
            version = champion(model, registry)
            bundle, place = open_published(registry, model, version), registry.bundle(model, version)
            work.confirm_scorable(f"{model} {version}", bundle.plan)
            read_views(work.project, bundle.plan.views)
            spine = verb.ScoringSpine(work.folders.data / declared.spine, window.start, window.end)
            folder = work.folders.scores / model / window.folder
            sources, memory = work.sources(bundle.plan), work.settings.join_memory
            result = verb.run(bundle, place, sources, spine, folder, scored_at=now(), memory=memory)
            return {"version": version, "rows": result.rows, "written": result.written, "folder": str(folder)}

        for model in project.models:
            score.override(task_id=f"score_{model}", outlets=[scores(project.name, model)])(model)
    return dag
