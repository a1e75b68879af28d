"""Gathers what is known about differences: the offline rows of the entities, finished runs, definitions of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.contract.admission import MISSING, FeatureStatus, Flags
from skewless.contract.columns import column_values
from skewless.contract.model.assembler import wanted_features
from skewless.contract.model.signature import differing, typed
from skewless.contract.plan import Plan, PlanView, StoredFeature, differences
from skewless.contract.timestamps import UtcMicros, UtcMicrosArray, to_micros
from skewless.contract.value_types import value_type
from skewless.monitoring.audit.causes import ViewEvidence
from skewless.monitoring.audit.replay import Places, ReplayComparison
from skewless.offline.join.entity_codes import EntityCodes
from skewless.offline.join.point_in_time import spine_column
from skewless.offline.tables.arrivals import ViewArrivals, arrivals
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows
from skewless.online.materialization.materialize import VERB
from skewless.project.project import Project
from skewless.state.database import StateDatabase

_EVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class MaterializedRun:
    """A finished run: it took the arrivals in (start, end]; all times in microseconds."""

    start: UtcMicros
    end: UtcMicros
    finished: int


@dataclass(frozen=True, slots=True)
class AuditEvidence:
    """By view of the plan: its table, the runs that finished, and what its definition of today says otherwise."""

    sources: Mapping[str, TableSource]
    runs: Mapping[str, Sequence[MaterializedRun]] = field(default_factory=dict)
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)


def clues(work: Project, plan: Plan) -> AuditEvidence:
    """What a project knows about the views of a plan. Raises: InvalidPlan, StateUnreachable."""
    today = {view.name: work.stored([view.stored_as.partition("@")[0]])[0][0] for view in plan.views}
    return known(plan, work.state, work.sources(plan), today)


def known(
    plan: Plan, state: StateDatabase, sources: Mapping[str, TableSource], today: Mapping[str, PlanView]
) -> AuditEvidence:
    """The same from its parts; `today` are the views of the plan as they are defined now."""
    wanted = wanted_features(plan)
    changed = {
        view.name: [str(one) for one in differences(view, today[view.name], wanted[view.name], where="the registry")]
        for view in plan.views
    }
    return AuditEvidence(sources, {view.name: _runs(state, plan.project, view) for view in plan.views}, changed)


def _runs(state: StateDatabase, project: str, view: PlanView) -> list[MaterializedRun]:
    return [
        MaterializedRun(
            to_micros(run.window_start) if run.window_start else int(_EVER),
            to_micros(run.window_end),
            to_micros(run.finished_at),
        )
        for run in state.done(project, view.stored_as, VERB)
        if run.finished_at
    ]


def gather(compared: ReplayComparison, view: PlanView, rows: Places, told: AuditEvidence) -> ViewEvidence:
    """What is known about some served rows that differ in a view. Raises: SourceMissing, SourceMismatch."""
    joined = compared.found[view.name].rows
    at = compared.at[rows]
    event, created = joined.event[rows], joined.created[rows]
    then, since = (times[rows] for times in compared.times(view))
    there, replaced = _looked_up(compared, view, rows, told.sources[view.name])
    return ViewEvidence(
        at=at,
        served=(then, since),
        joined=(event, created),
        tombstone=joined.deleted[rows],
        unread=compared.unread(view)[rows],
        known=there | (then == MISSING),
        replaced=replaced,
        covered=_covered(view, told.sources[view.name], event, created, at, told.runs.get(view.name, ())),
        same_values=~np.asarray(compared.wrong[np.ix_(rows, compared.features(view))].any(axis=1)),
        changed=bool(told.changed.get(view.name)),
    )


def _covered(
    view: PlanView,
    source: TableSource,
    event: UtcMicrosArray,
    created: UtcMicrosArray,
    at: UtcMicrosArray,
    runs: Sequence[MaterializedRun],
) -> Flags:
    """Whether a run had finished that took the arrival of the row in question."""
    rows = ViewRows((), event, created, np.zeros(len(event), bool), ())
    covered = np.zeros(len(event), bool)
    for run in runs:
        covered |= (run.finished <= at) & ViewArrivals(view, source, run.start, run.end, ()).take(rows)
    return covered


def _looked_up(compared: ReplayComparison, view: PlanView, rows: Places, source: TableSource) -> tuple[Flags, Flags]:
    """Which served rows are in the table as they were served; of which it has the event time with a later knowledge."""
    keys = [
        spine_column(compared.served, f"entity:{key.name}", key.dtype).take(pa.array(rows)) for key in view.join_keys
    ]
    entities = EntityCodes(keys, len(rows))
    then, since = (times[rows] for times in compared.times(view))
    there, later = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    asked = np.flatnonzero((then != MISSING) & (entities.codes >= 0))
    if not len(asked):
        return there, later
    wanted = pa.table({"code": entities.codes[asked], "event": then[asked], "row": asked})
    present = compared.status(view)[rows] == FeatureStatus.PRESENT
    for row, found in _of_the_same_event(wanted, entities, view, source, int(then[asked].max())):
        same = found.created == since[row]
        alike = ~present[row] | (~found.deleted & _same_values(compared, view, rows[row], found))
        there[row[same & alike]] = True
        later[row[found.created > since[row]]] = True
    return there, later


def _of_the_same_event(
    wanted: pa.Table, entities: EntityCodes, view: PlanView, source: TableSource, until: UtcMicros
) -> Iterator[tuple[Places, ViewRows]]:
    """Rows of the table that have a wanted entity and event time, each with the `row` that wants it."""
    for batch in arrivals(view, source, int(_EVER), until).batches():
        codes = entities.of(batch.keys, len(batch))
        mine = np.flatnonzero(codes >= 0)
        held = pa.table({"code": codes[mine], "event": batch.event[mine], "place": mine})
        pairs = wanted.join(held, keys=["code", "event"], join_type="inner")
        if len(pairs):
            yield pairs.column("row").to_numpy(), batch.take(pairs.column("place").to_numpy())


def _same_values(compared: ReplayComparison, view: PlanView, rows: Places, found: ViewRows) -> Flags:
    """Whether rows of the table hold the values that were logged."""
    same = np.ones(len(rows), bool)
    stored: dict[Any, int] = {StoredFeature(view.name, field.name): place for place, field in enumerate(view.fields)}
    kinds = [group.kind for group in compared.bundle.form.taken for _ in group.names]
    inputs = compared.inputs(compared.logged)
    for place in compared.features(view).tolist():
        column = compared.columns[place]
        kept = stored[column.source]
        values = column_values(value_type(view.fields[kept].dtype), found.columns[kept])
        same &= ~differing(inputs[place][rows], typed(values, kinds[place], column.default))
    return same
