"""All DAGs of a project, from one file in its `dags/` folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowTimetableInvalid
from skewless.airflow.airflow_project import AirflowProject, find
from skewless.airflow.dag_options import BadTimetables, DagOptions
from skewless.airflow.dags import (
    audit,
    compact,
    drift,
    erase,
    expire,
    ingest,
    materialize,
    quality,
    retrain,
    score,
    trim,
    verify,
)

_OF_PROJECT: dict[str, Callable[[AirflowProject], DAG]] = {
    "ingest_daily": partial(ingest.timetable, every="day"),
    "ingest_hourly": partial(ingest.timetable, every="hour"),
    "materialize": materialize.timetable,
    "score": score.timetable,
    "audit": audit.timetable,
    "drift": drift.timetable,
    "quality": quality.timetable,
    "verify": verify.timetable,
    "compact": compact.timetable,
    "trim": trim.timetable,
    "expire": expire.timetable,
    "erase": erase.timetable,
}
_OF_MODEL: dict[str, Callable[[AirflowProject, str], DAG]] = {
    "retrain": retrain.by_clock,
    "retrain_on_drift": retrain.on_drift,
}
_BY_HAND = "erase"


def timetables(  # noqa: PLR0913 - each is an option of whoever writes a DAG file
    namespace: dict[str, Any],
    *,
    project: str | Path | None = None,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    schedules: Mapping[str, object] | None = None,
    default_args: Mapping[str, Any] | None = None,
    pools: Mapping[str, str] | None = None,
    tags: Collection[str] = (),
    prefix: str | None = None,
    start_date: datetime | None = None,
    catchup: bool = False,
    state: str | Path | None = None,
) -> list[DAG]:
    """Make the DAGs of a project and put each into `namespace`, the `globals()` of a DAG file, under its id.

    Args:
        namespace: The globals of the DAG file.
        project: Folder of the project, from the DAG file's folder on. Default: the nearest one upward of the file with a
            `feature_repo/`, else SKEWLESS_FEATURE_REPO.
        include: Names of the DAGs that are made; default all: ingest_daily, ingest_hourly, materialize, score, audit,
            drift, quality, verify, compact, trim, expire, erase, and retrain and retrain_on_drift of each declared model
            (or retrain_MODEL, retrain_on_drift_MODEL).
        exclude: Names of those that are not.
        schedules: Other schedules, by name: a cron text (UTC), None for runs by hand, or whatever Airflow takes.
        default_args: Airflow's arguments of all tasks, as `owner`, `retries` or `on_failure_callback`.
        pools: Other pools, for `offline_store`, `online_store` or `training`. Default: `<project>_offline_store`, ...
        tags: More tags of all DAGs.
        prefix: Begins the names of DAGs, pools, assets and connections. Default: the project's name in feature_store.yaml.
        start_date: As in Airflow.
        catchup: Whether runs for days and hours since the `start_date` are made up for.
        state: The state folder, where it is neither beside the definitions nor SKEWLESS_STATE.

    Returns the DAGs. Raises: DagProjectMissing, BadTimetables, StoreFileUnreadable, BadModels.
    """
    file = str(namespace.get("__file__", "this file"))
    options = DagOptions(
        file=file,
        include=include,
        exclude=exclude,
        prefix=prefix,
        schedules=schedules or {},
        pools=pools or {},
        tags=tags,
        default_args=default_args or {},
        start_date=start_date,
        catchup=catchup,
        state=None if state is None else Path(state),
    )
    here = AirflowProject.of(find(file, project), options)
    dags = list(_dags(here))
    namespace.update({dag.dag_id: dag for dag in dags})
    return dags


def _dags(project: AirflowProject) -> Iterator[DAG]:
    """Raises: BadTimetables."""
    options, models = project.options, project.models
    names = [*_OF_PROJECT, *_OF_MODEL, *(project.name_of(kind, model) for kind in _OF_MODEL for model in models)]
    for option in ("include", "exclude", "schedules"):
        known = [name for name in names if option != "schedules" or name != _BY_HAND]
        options.confirm(option, getattr(options, option), known)
    absent = {"ingest_daily": not project.by_day, "ingest_hourly": not project.by_hour, "score": not models}
    for kind, made in _OF_PROJECT.items():
        if not absent.get(kind) and options.chosen(kind, kind):
            yield _valid(made(project), kind, options)
    for kind, made_of in _OF_MODEL.items():
        for model in models:
            name = project.name_of(kind, model)
            if options.chosen(kind, name):
                yield _valid(made_of(project, model), name, options)


def _valid(dag: DAG, name: str, options: DagOptions) -> DAG:
    """Raises: BadTimetables where its schedule cannot be read."""
    try:
        dag.validate()
    except AirflowTimetableInvalid as error:
        raise BadTimetables(options.file, "schedules", f"gives {name} a schedule that is refused: {error}") from None
    return dag
