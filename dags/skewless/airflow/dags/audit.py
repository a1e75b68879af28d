"""Audit: the predictions served in a partition, replayed through the point-in-time join and compared bit for bit.

Runs when the online store holds the partition: by then the offline store does too. Fails where a value differs; the
report of a failed run is kept, in a folder of its window.

Held by tests/airflow/test_dags_of_proofs.py.
"""

from __future__ import annotations

from airflow.sdk import DAG, PartitionedAssetTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from skewless.airflow.airflow_project import AirflowProject
from skewless.airflow.assets import online_store
from skewless.airflow.dag_defaults import SERVED_NAME, served_versions, windowed


def timetable(project: AirflowProject) -> DAG:
    """The DAG of a project."""
    with DAG(
        **windowed(project, "audit", "proof", __doc__),
        description="What was served in a partition, compared with the training join bit for bit.",
        schedule=project.schedule("audit", PartitionedAssetTimetable(assets=online_store(project.name))),
    ) as dag:

        @task(map_index_template=SERVED_NAME)
        def audit(served: dict[str, str]) -> str:
            """Replay what one model version served."""
            from skewless.airflow.connections import now, workspace
            from skewless.airflow.lineage import read_views
            from skewless.airflow.window import window_of
            from skewless.monitoring.audit import audit as verb
            from skewless.monitoring.audit.evidence import project_evidence
            from skewless.monitoring.reports.audit_files import write_audit
            from skewless.monitoring.served_log.reader import ServedLogReader
            from skewless.registry.bundle_folder import open_bundle
            from skewless.registry.cpu_features import processor_features

            work, window = workspace(project), window_of(get_current_context())
            bundle = open_bundle(
                work.settings.registry.bundle(served["model"], served["version"]), processor_features()
            )
            read_views(work.project, bundle.plan.views)
            log = ServedLogReader(work.folders.served)
            result = verb.run(bundle, project_evidence(work, bundle.plan), log, window.start, window.end)
            report = write_audit(work.folders.reports, result, now())
            if not result.clean:
                # The next audit replaces the report above.
                report = write_audit(work.folders.reports / window.folder, result, now())
                raise AirflowFailException("\n".join([f"gate audit: {result}; report: {report}", *result.examples]))
            return str(result)

        audit.expand(served=served_versions(project)())
    return dag
