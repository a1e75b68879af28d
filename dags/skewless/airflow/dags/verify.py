"""Verify: compares every row of the online store with the offline store as of its view's watermark, once a day.

Fails where a bit differs, with the differences in the log; with the param `repair` they are corrected and it succeeds.

Held by tests/airflow/test_dags_of_proofs.py.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import dag_arguments

PARAMS = {
    "repair": Param(default=False, type="boolean", description="Write, and remove, what differs."),
    "sample": Param(default=1, type="integer", minimum=1, description="Look at one entity in so many."),
    "seed": Param(default=0, type="integer", minimum=0, description="Draws the sample."),
}


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **dag_arguments(project, "verify", "proof", __doc__, params=PARAMS),
        description="Every row of the online store compared with the offline store.",
        schedule=project.schedule("verify", CronTriggerTimetable("30 4 * * *", timezone="UTC")),
    ) as dag:

        @task
        def views() -> list[str]:
            """The stored names of the online feature views, and of old definitions that models still read."""
            from skewless.airflow.connections import workspace

            return [view.stored_as for view, _ in workspace(project).definitions()]

        @task(pool=project.pool("online_store"), map_index_template="{{ task.op_kwargs['view'] }}")
        def verify(view: str) -> dict[str, Any]:
            """Compare one view; returns the result."""
            from skewless.airflow.connections import workspace
            from skewless.airflow.lineage import read_views
            from skewless.online.maintenance import verify as verb
            from skewless.online.maintenance.verify_result import EntitySample

            work, options = workspace(project), get_current_context()["params"]
            stored = [work.definition(view)]
            read_views(work.project, [plan for plan, _ in stored])
            sample = EntitySample(options["sample"], options["seed"])
            (result,) = verb.run(stored, work.online_project, sample=sample, repair=options["repair"])
            if result.differences > result.repaired:
                mend = "trigger this DAG with the param repair, or run `skewless verify --repair`"
                raise AirflowFailException(f"gate verify: {result}\n{mend}")
            return result.as_json()

        verify.expand(view=views())
    return dag
