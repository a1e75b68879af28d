"""Quality: what the tables hold against the expectations beside the definitions, as of the end of each day (UTC).

New rows are gated where they come in; this one reads whole tables, so it also sees what came by other ways, what an
expectation that was added since would refuse, and a source that went quiet. Skipped before the first rows came.
"""

from __future__ import annotations

from airflow.sdk import CronPartitionTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from skewless.airflow.dag_defaults import windowed


@task
def quality() -> dict[str, int]:
    """Check the tables of all views that expect anything; how many expectations are not met, by view."""
    from skewless.airflow.connections import workspace
    from skewless.airflow.window import window_of
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.runtime.errors import SourceMissing

    work, at = workspace(), window_of(get_current_context()).end
    gates = QualityGates.of(work).by_view
    try:
        found = {view: gate.check_table(at) for view, gate in gates.items()}
    except SourceMissing as error:
        if any(work.state.watermark(work.project, view) for view in gates):
            raise
        raise AirflowSkipException(f"nothing was materialized yet, and {error}") from None
    told = [f"feature view {view!r}: {breach}" for view, breaches in found.items() for breach in breaches]
    if told:
        raise AirflowFailException("\n".join([f"gate quality: {len(told)} expectations not met", *told]))
    return {view: len(breaches) for view, breaches in found.items()}


@dag(
    **windowed(minutes=60, dag="skewless_quality"),
    description="What the tables hold against the expectations beside the definitions.",
    schedule=CronPartitionTimetable("0 6 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    tags=["skewless", "proof"],
    doc_md=__doc__,
)
def timetable() -> None:
    quality()


timetable()
