"""Erase: removes one subject from tables, training sets, served logs, streams and Redis; triggered by hand.

Materializations of its views wait meanwhile; pause whatever pushes. Airflow itself keeps the params of a run, in which the
subject is named: delete the run once you have the receipt.

Held by tests/airflow/test_dags_of_proofs.py.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, get_current_context, task
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import dag_arguments

PARAMS = {
    "entity": Param(
        type="array",
        minItems=1,
        items={"type": "string"},
        description="Join keys and values, as customer_id=42; several must all hold.",
    ),
    "dry_run": Param(default=True, type="boolean", description="Only say what would be erased."),
}


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **dag_arguments(project, "erase", "offline", __doc__, params=PARAMS),
        description="One subject goes from everywhere, with a receipt.",
        schedule=None,
    ) as dag:

        @task(pool=project.pool("offline_store"))
        def erase() -> list[str]:
            """Erase the subject; returns the receipt, or in a dry run what would be erased."""
            from skewless.airflow.connections import now, workspace
            from skewless.erasure import erase as verb
            from skewless.erasure.subject import ErasureSubject

            work, options = workspace(project), get_current_context()["params"]
            subject = ErasureSubject.parse(options["entity"])
            stored, registry = tuple(work.definitions()), work.settings.registry
            places = verb.ErasurePlaces(
                *(work.folders, work.data, work.project, stored, work.client, registry, work.state),
                work.stored_outputs(),
            )
            if options["dry_run"]:
                return verb.plan(subject, places).lines()
            receipt, path = verb.run(subject, places, now)
            return [str(receipt), str(path)]

        erase()
    return dag
