"""The stored outputs of on-demand views: computed for the entities whose sources changed, by the transform that was applied.

`skewless materialize` and Feast's `materialize` both run this. An output is made of what its sources' rows say at the end of
the window. It is true since the newest of these rows, and known since it was computed, so that what is computed later wins.
Where none of the rows is there, the entity is not found.

Held by tests/feast/materialization/test_stored_outputs.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

import numpy as np
import pyarrow as pa

from feast import FeatureStore, FeatureView, OnDemandFeatureView
from skewless.contract.admission import MISSING, FeatureStatus
from skewless.contract.errors import SkewlessError
from skewless.contract.model.transforms import reference
from skewless.contract.plan import Plan, PlanView, StoredFeature
from skewless.contract.storage.key_columns import KeyColumnPacker
from skewless.contract.timestamp_arrays import timestamp_array
from skewless.contract.timestamps import MICROSECOND, UtcMicros, aware, from_micros, to_micros
from skewless.contract.value_types import value_type
from skewless.definitions.compiler import source_of, view_of
from skewless.definitions.data_folder import data_folder, settings_of
from skewless.feast.errors import FeastUnsupported
from skewless.feast.on_demand.offline_outputs import with_outputs
from skewless.feast.retrieval import plan_of
from skewless.feast.stored_definitions import stored_names
from skewless.offline.join.point_in_time import TIMESTAMP, PointInTimeJoin, SpineBlock, answers
from skewless.offline.tables.arrivals import arrivals
from skewless.offline.tables.columns import feature
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import ViewRows
from skewless.online.materialization.materialize import (
    ArrivalWindow,
    DatetimeClock,
    WrittenWindow,
    plan_windows,
    run_window,
)
from skewless.online.materialization.newest_arrivals import packed
from skewless.online.store.online_project import OnlineProject
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.progress import Report, quiet
from skewless.state.database import StateDatabase
from skewless.state.run_history import RunCounts

_BEGINNING = np.iinfo(np.int64).min


@dataclass(eq=False)
class OutputsNotComputable(SkewlessError):
    """The stored outputs of an on-demand view cannot be computed from tables."""

    view: str
    reason: str

    def __str__(self) -> str:
        return f"the outputs of on-demand view {self.view!r} are stored by writes alone: {self.reason}"


@dataclass(frozen=True, slots=True)
class ArrivalSpan:
    """The arrivals in (start, end]; without `start` those since the last run, with `full` all of them.

    `overlap`: how much further back tables without created timestamps are read. `partition`: start and end are those of a
    partition that was written, start <= event time < end. Partitions come in any order, and may be repeated.
    """

    end: datetime
    start: datetime | None = None
    full: bool = False
    overlap: timedelta = timedelta(0)
    partition: bool = False

    def after(self, watermark: datetime | None) -> ArrivalSpan:
        """The span where the last run was up to the watermark. Of a partition it reaches from what is earlier of the two to
        what is later, as `plan_partition` has it for other views.
        """
        if not self.partition or self.start is None:
            return self
        if watermark is None or watermark < self.start:
            return replace(self, start=None)
        return replace(self, start=self.start - MICROSECOND, end=max(self.end, watermark))


@dataclass(frozen=True, slots=True)
class StoredOutputs:
    """An on-demand view whose outputs are stored as `view`, with the views that it is made of and their tables."""

    definition: OnDemandFeatureView
    view: PlanView
    sources: tuple[tuple[PlanView, TableSource], ...]

    @property
    def keys(self) -> list[str]:
        return [key.name for key in self.view.join_keys]

    @property
    def digest(self) -> str:
        """Of the transform's body as it was applied, and of what it is made of."""
        body = str(getattr(self.definition.feature_transformation, "udf_string", ""))
        return hashlib.sha256(repr((body, self.sources)).encode()).hexdigest()

    @property
    def plan(self) -> Plan:
        """All features of the sources, by their full names."""
        features = [StoredFeature(view.name, field.name) for view, _ in self.sources for field in view.fields]
        return plan_of("", [view for view, _ in self.sources], {f: reference(f) for f in features})


def stored_outputs(store: FeatureStore, name: str) -> StoredOutputs:
    """One of the registry's on-demand views. Raises: OutputsNotComputable, InvalidPlan, UnsupportedType."""
    definition, config = store.get_on_demand_feature_view(name), store.config
    view = stored_names(config).of(view_of(config, definition, definition.projection))
    if definition.source_request_sources:
        raise OutputsNotComputable(name, "it has request inputs; use `FeatureStore.write_to_online_store`")
    sources = []
    for projection in definition.source_feature_view_projections.values():
        inner = cast(FeatureView, store.registry.get_any_feature_view(projection.name, store.project, allow_cache=True))
        sources.append((view_of(config, inner, projection), source_of(inner, data_folder(config))))
    keys = {key.name for key in view.join_keys}
    if not any({key.name for key in source.join_keys} == keys for source, _ in sources):
        wanted = ", ".join(sorted(keys)) or "no key"
        raise OutputsNotComputable(
            name, f"none of its source views has its join keys ({wanted}); give it their entities"
        )
    return StoredOutputs(definition, view, tuple(sources))


def materialize_outputs(
    outputs: StoredOutputs,
    project: OnlineProject,
    span: ArrivalSpan,
    *,
    clock: DatetimeClock,
    report: Report = quiet,
) -> RunCounts | None:
    """Compute and store the outputs of entities with arrivals in the span; None where the last run was as late. It is
    recorded as a run of the view, whose watermark moves as that of other views. All are computed if the transform changed.

    Raises: LockBusy, RowsLost, RedisUnreachable, StoreFull, StoreReadOnly, SourceMissing, SourceMismatch, StateUnreachable.
    """
    view, (_, first) = outputs.view, outputs.sources[0]
    span = span.after(project.state.watermark(project.name, view.stored_as))
    changed = project.store.computed_by(view) != outputs.digest
    stored = project.store.stored_views([view])
    windows = plan_windows(
        project.state,
        project.name,
        [(view, first)],
        end=span.end,
        start=None if changed else span.start,
        full=span.full or changed,
        overlap=span.overlap,
        stored=stored,
    )
    for window in windows:
        report(view.stored_as, 0, 1)
        # Outputs of another transform must win where their rows' times are the same.
        write = partial(_write, outputs, to_micros(clock()) if changed else None)
        counts = run_window(window, project, write, clock=clock)
        project.store.note_computed_by(view, outputs.digest)
        return counts
    return None


def run(
    store: FeatureStore,
    names: Sequence[str],
    project: OnlineProject,
    span: ArrivalSpan,
    *,
    clock: DatetimeClock,
    report: Report,
    warn: Callable[[str], None],
) -> dict[str, RunCounts]:
    """Compute and store the outputs of these on-demand views; the counts of those that were not up to date. `warn` is called
    of those that are stored by writes alone. Raises: as `materialize_outputs`.
    """
    done = {}
    for name in names:
        try:
            outputs = stored_outputs(store, name)
        except OutputsNotComputable as error:
            warn(str(error))
            continue
        counts = materialize_outputs(outputs, project, span, clock=clock, report=report)
        if counts is not None:
            done[name] = counts
    return done


def materialize_by_feast(
    store: FeatureStore, writer: SyncOnlineStore, name: str, start: datetime, end: datetime
) -> RunCounts | None:
    """As `materialize_outputs` for Feast's window [start, end], of a view that can be computed. Raises: also FeastUnsupported."""
    state = StateDatabase(settings_of(store.config).state_url)
    with closing(state):
        try:
            outputs = stored_outputs(store, name)
        except OutputsNotComputable as error:
            raise FeastUnsupported(f"materializing on-demand view {name!r}", str(error)) from error
        project = OnlineProject(store.project, writer, state)
        span = ArrivalSpan(aware(end), aware(start) - MICROSECOND)
        return materialize_outputs(outputs, project, span, clock=partial(datetime.now, UTC))


def _write(
    outputs: StoredOutputs, at: UtcMicros | None, window: ArrivalWindow, project: OnlineProject, until: datetime
) -> WrittenWindow:
    """Write the outputs of one window, computed at an instant, by default `until`; complete up to that, if the window does not
    leave a gap.
    """
    view, store = outputs.view, project.store
    spine = _spine(outputs, window)
    horizon = store.prepare(view).horizon(to_micros(until))
    pack = KeyColumnPacker(project.name, view).pack
    written, newest = 0, _BEGINNING
    for rows in _computed(outputs, spine, to_micros(until) if at is None else at):
        written += store.write(view, pack(rows.keys, len(rows)), packed(view, rows), horizon)
        newest = max(newest, int(rows.event.max(initial=_BEGINNING)))
    counts = RunCounts(len(spine), written, len(spine) - written, 0)
    event = from_micros(newest) if newest > _BEGINNING else None
    if not window.advance:
        store.introduce(view)
        return WrittenWindow(counts, event, None, [])
    return WrittenWindow(counts, event, store.register(view, window.start, until, refill=window.refill), [])


def _spine(outputs: StoredOutputs, window: ArrivalWindow) -> pa.Table:
    """The entities whose outputs may have changed in the window, as of its end.

    A source with fewer keys than the outputs (a city's, of a shop and its city) changes many of them: then all entities.
    """
    start = to_micros(window.start) if window.start else int(_BEGINNING)
    end = to_micros(window.end)
    whole = [source for source in outputs.sources if len(source[0].join_keys) == len(outputs.keys)]
    others = [source for source in outputs.sources if source not in whole]
    if any(len(rows) for source in others for rows in _arrived(*source, start, end)):
        start = int(_BEGINNING)
    kinds = {key.name: value_type(key.dtype).arrow for key in outputs.view.join_keys}
    entities = [pa.schema(list(kinds.items())).empty_table()]
    arrived = False
    for view, source in whole:
        for rows in _arrived(view, source, start, end):
            arrived |= len(rows) > 0
            names = [key.name for key in view.join_keys]
            entities.append(pa.table(dict(zip(names, rows.keys, strict=True))).select(outputs.keys))
    if not outputs.keys:
        return pa.table({TIMESTAMP: timestamp_array(np.full(int(arrived), end, np.int64))})
    distinct = pa.concat_tables(entities).group_by(outputs.keys).aggregate([]).drop_null()
    return distinct.append_column(TIMESTAMP, timestamp_array(np.full(len(distinct), end, np.int64)))


def _arrived(view: PlanView, source: TableSource, start: UtcMicros, end: UtcMicros) -> Iterator[ViewRows]:
    window = arrivals(view, source, start, end)
    for batch in window.batches():
        yield batch.take(window.take(batch))


def _computed(outputs: StoredOutputs, spine: pa.Table, at: UtcMicros) -> Iterator[ViewRows]:
    """The outputs of the spine's rows, computed at an instant."""
    plan, sources = outputs.plan, {view.name: source for view, source in outputs.sources}
    for block in PointInTimeJoin(plan, sources, spine).blocks():
        table = spine.slice(block.start, block.rows)
        joined = answers([block])
        for column in plan.columns:
            table = table.append_column(column.name, joined.columns[cast(StoredFeature, column.source)])
        if len(table):
            yield _rows(outputs, table, block, at)


def _rows(outputs: StoredOutputs, table: pa.Table, block: SpineBlock, at: UtcMicros) -> ViewRows:
    """The rows to store; entities of which no source has ever had a row have none."""
    view, definition = outputs.view, outputs.definition
    name = definition.projection.name_to_use()
    columns = {field.name: f"{name}__{field.name}" for field in view.fields}
    join_keys = {source.name: [key.name for key in source.join_keys] for source, _ in outputs.sources}
    computed = with_outputs(table, [definition], join_keys, list(columns.values()), full=True)
    found = list(block.views.values())
    event = np.max([one.event for one in found], axis=0)
    created = np.max([np.full(len(table), at, np.int64), *(one.created for one in found)], axis=0)
    present = np.any([one.status == FeatureStatus.PRESENT for one in found], axis=0)
    rows = ViewRows(
        tuple(table.column(key).combine_chunks() for key in outputs.keys),
        event,
        created,
        ~present,
        tuple(
            feature(view.stored_as, column, computed.column(column), value_type(field.dtype))
            for field, column in zip(view.fields, columns.values(), strict=True)
        ),
    )
    return rows.take(np.asarray(event != MISSING))
