"""Drift: each model version's served inputs and scores of a day (UTC), compared with its training.

Fails where something drifted, with the report's page in the log; the asset of a declared model that drifted is updated,
which retrains the model.

Held by tests/airflow/test_dags_of_proofs.py.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.assets import drift as drift_asset
from skewless.airflow.dag_defaults import SERVED_NAME, served_versions, windowed
from skewless.airflow.dag_options import DAY_KEY, partitions


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **windowed(project, "drift", "proof", __doc__),
        description="What each model version was served in a day, compared with what it was trained on.",
        schedule=project.schedule("drift", partitions("30 1 * * *", DAY_KEY)),
    ) as dag:

        @task(map_index_template=SERVED_NAME)
        def drift(served: dict[str, str]) -> dict[str, Any]:
            """Compare the served rows of one model version; the result, with the report's page."""
            from skewless.airflow.connections import now, settings
            from skewless.airflow.window import window_of
            from skewless.monitoring.drift import served_window
            from skewless.monitoring.drift.drift import ServedWindow
            from skewless.monitoring.reports.drift_files import write_report

            known, window = settings(project), window_of(get_current_context())
            result = served_window.run(known, ServedWindow(**served, start=window.start, end=window.end))
            page = write_report(known.folders.reports, result, now())
            return {"model": result.model, "clean": result.clean, "summary": f"{result}; report: {page}"}

        @task
        def alarm(results: list[dict[str, Any]]) -> None:
            """Fail where anything drifted."""
            if drifts := [result["summary"] for result in results if not result["clean"]]:
                raise AirflowFailException("\n".join(["gate drift:", *drifts]))

        @task
        def drifted(results: list[dict[str, Any]], model: str) -> None:
            """Update the asset of a model where it drifted."""
            if not any(result["model"] == model and not result["clean"] for result in results):
                raise AirflowSkipException(f"{model} did not drift")

        alarm(results := drift.expand(served=served_versions(project)()))
        for model in project.models:
            drifted.override(task_id=f"drifted_{model}", outlets=[drift_asset(project.name, model)])(results, model)
    return dag
