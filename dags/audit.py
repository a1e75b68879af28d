"""Audit: what was served in a partition, replayed through the point-in-time join and compared bit for bit.

Runs when the online store holds the partition: by then the offline store does too. Red where a value differs; the report
of a red one is kept, in a folder of its window.
"""

from __future__ import annotations

from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from dags.assets import ONLINE
from dags.terms import served_versions, windowed


@task(map_index_template="{{ task.op_kwargs['served']['model'] }} {{ task.op_kwargs['served']['version'] }}")
def audit(served: dict[str, str]) -> str:
    """Replay what one model version served."""
    from dags.connections import now, workspace
    from dags.lineage import read_views
    from dags.window import window_of
    from pipelines import audit as verb
    from pipelines.evidence import clues
    from pipelines.reports.audited import write_audit
    from serving.contract.bundle import open_bundle
    from serving.contract.processor import processor_features

    work, window = workspace(), window_of(get_current_context())
    bundle = open_bundle(work.settings.registry.bundle(served["model"], served["version"]), processor_features())
    read_views(work.project, bundle.plan.views)
    log = verb.ServedLog(work.folders.served)
    found = verb.run(bundle, clues(work, bundle.plan), log, window.start, window.end)
    report = write_audit(work.folders.reports, found, now())
    if not found.clean:
        # The next audit replaces the other one.
        report = write_audit(work.folders.reports / window.folder, found, now())
        raise AirflowFailException("\n".join([f"gate audit: {found}; report: {report}", *found.examples]))
    return str(found)


@dag(
    **windowed(minutes=60, dag="skewless_audit"),
    description="What was served in a partition, compared with the training join bit for bit.",
    schedule=PartitionedAssetTimetable(assets=ONLINE),
    tags=["skewless", "proof"],
    doc_md=__doc__,
)
def timetable() -> None:
    audit.expand(served=served_versions())


timetable()
