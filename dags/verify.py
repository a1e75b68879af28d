"""Verify: every row of the online store compared with the offline store as of its view's watermark, once a day.

Red where a bit differs, with what differs in the log; the param `repair` mends it, and the run is green.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from skewless.airflow.dag_defaults import ONLINE_POOL, terms


@task
def views() -> list[str]:
    """The online feature views."""
    from skewless.airflow.connections import workspace

    return [view.stored_as for view, _ in workspace().stored()]


@task(pool=ONLINE_POOL, map_index_template="{{ task.op_kwargs['view'] }}")
def verify(view: str) -> dict[str, Any]:
    """Compare one view; what was found."""
    from skewless.airflow.connections import workspace
    from skewless.airflow.lineage import read_views
    from skewless.online.maintenance import verify as verb

    work, asked = workspace(), get_current_context()["params"]
    stored = work.stored([view])
    read_views(work.project, [known for known, _ in stored])
    sample = verb.EntitySample(asked["sample"], asked["seed"])
    (found,) = verb.run(stored, work.online_project, sample=sample, repair=asked["repair"])
    if found.differences > found.repaired:
        mend = "trigger this DAG with the param repair, or run `skewless verify --repair`"
        raise AirflowFailException(f"gate verify: {found}\n{mend}")
    return found.as_json()


@dag(
    **terms(minutes=60, dag="skewless_verify"),
    description="Every row of the online store compared with the offline store.",
    schedule=CronTriggerTimetable("30 4 * * *", timezone="UTC"),
    params={
        "repair": Param(default=False, type="boolean", description="Write, and remove, what differs."),
        "sample": Param(default=1, type="integer", minimum=1, description="Look at one entity in so many."),
        "seed": Param(default=0, type="integer", minimum=0, description="Draws the sample."),
    },
    tags=["skewless", "proof"],
    doc_md=__doc__,
)
def timetable() -> None:
    verify.expand(view=views())


timetable()
