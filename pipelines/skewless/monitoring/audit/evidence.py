"""Gathers the evidence about differences: the offline rows of the entities, finished materializations, and definitions
as they are registered now.

Held by tests/monitoring/audit/test_attribution.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.columns import Flags, column_values
from skewless.contract.model.assembler import wanted_features
from skewless.contract.model.signature import differing, tensor_column
from skewless.contract.plan import Plan, PlanView, StoredFeature, differences
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.contract.value_types import value_type
from skewless.monitoring.audit.causes import ViewEvidence
from skewless.monitoring.audit.replay import Positions, ReplayComparison
from skewless.offline.join.entity_codes import EntityCodes
from skewless.offline.join.point_in_time import spine_column
from skewless.offline.tables.arrivals import ViewArrivals, arrivals
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows
from skewless.online.materialization.materialize import VERB
from skewless.project.project import ProjectContext
from skewless.state.database import StateDatabase

_EVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class MaterializedRun:
    """A finished materialization of the arrivals in (start, end]; all times in microseconds."""

    start: UtcMicros
    end: UtcMicros
    finished: int


@dataclass(frozen=True, slots=True)
class AuditEvidence:
    """By view of the plan: its table, its finished materializations, and how its current definition differs from it now."""

    sources: Mapping[str, TableSource]
    runs: Mapping[str, Sequence[MaterializedRun]] = field(default_factory=dict)
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)


def project_evidence(project: ProjectContext, plan: Plan) -> AuditEvidence:
    """The evidence that a project has about the views of a plan. Raises: InvalidPlan, StateUnreachable."""
    current = {view.name: project.defined_now(view) for view in plan.views}
    return collect_evidence(plan, project.state, project.sources(plan), current)


def collect_evidence(
    plan: Plan, state: StateDatabase, sources: Mapping[str, TableSource], current: Mapping[str, PlanView | None]
) -> AuditEvidence:
    """The evidence from a state database and tables; `current` are the views of the plan as they are defined now."""
    wanted = wanted_features(plan)
    changed = {
        view.name: [str(gap) for gap in differences(view, current[view.name], wanted[view.name], where="the registry")]
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


def gather(compared: ReplayComparison, view: PlanView, rows: Positions, evidence: AuditEvidence) -> ViewEvidence:
    """The evidence about some served rows that differ in a view. Raises: SourceMissing, SourceMismatch."""
    joined, source = compared.admitted[view.name].rows, evidence.sources[view.name]
    served_at = compared.served_at[rows]
    event, created = joined.event[rows], joined.created[rows]
    served_event, served_created = (times[rows] for times in compared.times(view))
    in_table, replaced = _look_up(compared, view, rows, source)
    return ViewEvidence(
        served_at=served_at,
        served=(served_event, served_created),
        joined=(event, created),
        tombstone=joined.deleted[rows],
        unread=compared.unread(view)[rows],
        in_table=in_table | (served_event == MISSING),
        replaced=replaced,
        materialized=_materialized(view, source, event, created, served_at, evidence.runs.get(view.name, ())),
        same_values=~np.asarray(compared.wrong[np.ix_(rows, compared.features(view))].any(axis=1)),
        definition_changed=bool(evidence.changed.get(view.name)),
    )


def _materialized(
    view: PlanView,
    source: TableSource,
    event: UtcMicrosArray,
    created: UtcMicrosArray,
    served_at: UtcMicrosArray,
    runs: Sequence[MaterializedRun],
) -> Flags:
    """Whether a materialization that covers the arrival of each row had finished when it was served."""
    rows = ViewRows((), event, created, np.zeros(len(event), bool), ())
    covered = np.zeros(len(event), bool)
    for run in runs:
        covered |= (run.finished <= served_at) & ViewArrivals(view, source, run.start, run.end, ()).take(rows)
    return covered


def _look_up(compared: ReplayComparison, view: PlanView, rows: Positions, source: TableSource) -> tuple[Flags, Flags]:
    """Which served rows are in the table as they were served, and of which it has a row of the same event time and a later
    created time.
    """
    keys = [
        spine_column(compared.served, f"entity:{key.name}", key.dtype).take(pa.array(rows)) for key in view.join_keys
    ]
    entities = EntityCodes(keys, len(rows))
    event, created = (times[rows] for times in compared.times(view))
    in_table, later = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    sought = np.flatnonzero((event != MISSING) & (entities.codes >= 0))
    if not len(sought):
        return in_table, later
    keyed = pa.table({"code": entities.codes[sought], "event": event[sought], "row": sought})
    present = compared.status(view)[rows] == FeatureStatus.PRESENT
    for row, matches in _same_event(keyed, entities, view, source, int(event[sought].max())):
        same = matches.created == created[row]
        alike = ~present[row] | (~matches.deleted & _same_values(compared, view, rows[row], matches))
        in_table[row[same & alike]] = True
        later[row[matches.created > created[row]]] = True
    return in_table, later


def _same_event(
    keyed: pa.Table, entities: EntityCodes, view: PlanView, source: TableSource, until: UtcMicros
) -> Iterator[tuple[Positions, ViewRows]]:
    """Rows of the view's table with the entity and event time of a `keyed` row, each with that row's number `row`."""
    for batch in arrivals(view, source, int(_EVER), until).batches():
        codes = entities.of(batch.keys, len(batch))
        known = np.flatnonzero(codes >= 0)
        stored = pa.table({"code": codes[known], "event": batch.event[known], "position": known})
        pairs = keyed.join(stored, keys=["code", "event"], join_type="inner")
        if len(pairs):
            yield pairs.column("row").to_numpy(), batch.take(pairs.column("position").to_numpy())


def _same_values(compared: ReplayComparison, view: PlanView, rows: Positions, matches: ViewRows) -> Flags:
    """Whether rows of the table have the values that were logged."""
    same = np.ones(len(rows), bool)
    fields: dict[Any, int] = {StoredFeature(view.name, field.name): index for index, field in enumerate(view.fields)}
    kinds = [group.kind for group in compared.bundle.signature.inputs for _ in group.names]
    inputs = compared.inputs(compared.logged)
    for position in compared.features(view).tolist():
        column = compared.columns[position]
        index = fields[column.source]
        values = column_values(value_type(view.fields[index].dtype), matches.columns[index])
        same &= ~differing(inputs[position][rows], tensor_column(values, kinds[position], column.default))
    return same
