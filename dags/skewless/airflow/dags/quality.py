"""Quality: checks whole tables against the expectations beside the definitions, as of the end of each day (UTC).

New rows are gated as they arrive. This DAG reads whole tables, so it also sees rows that arrived another way, rows
that an expectation added later refuses, and a source without new rows. Skipped before the first rows arrive.

Held by tests/airflow/test_dags_of_proofs.py.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.dag_defaults import windowed
from skewless.airflow.dag_options import DAY_KEY, partitions


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **windowed(project, "quality", "proof", __doc__),
        description="What the tables hold against the expectations beside the definitions.",
        schedule=project.schedule("quality", partitions("0 6 * * *", DAY_KEY)),
    ) as dag:

        @task
        def quality() -> dict[str, int]:
            """Check the tables of all views with expectations; returns the number of unmet expectations by view."""
            from skewless.airflow.connections import workspace
            from skewless.airflow.window import window_of
            from skewless.monitoring.quality.gates import QualityGates
            from skewless.runtime.errors import SourceMissing

            work, at = workspace(project), window_of(get_current_context()).end
            gates = QualityGates.of(work).by_view
            try:
                results = {view: gate.check_table(at) for view, gate in gates.items()}
            except SourceMissing as error:
                if any(work.state.watermark(work.project, view) for view in gates):
                    raise
                raise AirflowSkipException(f"nothing was materialized yet, and {error}") from None
            lines = [f"feature view {view!r}: {breach}" for view, breaches in results.items() for breach in breaches]
            if lines:
                raise AirflowFailException("\n".join([f"gate quality: {len(lines)} expectations not met", *lines]))
            return {view: len(breaches) for view, breaches in results.items()}

        quality()
    return dag
