"""Erase: removes one subject from tables, training sets, served logs, streams and Redis; triggered by hand.

Materializations of its views wait meanwhile; pause whatever pushes. Airflow itself keeps the params of a run, in which the
subject is named: delete the run once you have the receipt.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task

from skewless.airflow.dag_defaults import OFFLINE_POOL, dag_arguments


@task(pool=OFFLINE_POOL)
def erase() -> list[str]:
    """Erase the subject; returns the receipt, or in a dry run what would be erased."""
    from skewless.airflow.connections import now, workspace
    from skewless.erasure import erase as verb
    from skewless.erasure.subject import ErasureSubject

    work, options = workspace(), get_current_context()["params"]
    subject = ErasureSubject.parse(options["entity"])
    stored, registry = tuple(work.definitions()), work.settings.registry
    places = verb.ErasurePlaces(
        *(work.folders, work.data, work.project, stored, work.client, registry, work.state), work.stored_outputs()
    )
    if options["dry_run"]:
        return verb.plan(subject, places).lines()
    receipt, path = verb.run(subject, places, now)
    return [str(receipt), str(path)]


@dag(
    **dag_arguments(minutes=60, dag="skewless_erase"),
    description="One subject goes from everywhere, with a receipt.",
    schedule=None,
    params={
        "entity": Param(
            type="array",
            minItems=1,
            items={"type": "string"},
            description="Join keys and values, as customer_id=42; several must all hold.",
        ),
        "dry_run": Param(default=True, type="boolean", description="Only say what would be erased."),
    },
    tags=["skewless", "offline", "online"],
    doc_md=__doc__,
)
def timetable() -> None:
    erase()


timetable()
