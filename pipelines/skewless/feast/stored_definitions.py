"""The recorded definitions of a Feast project, as its plug-ins look them up: names in the online store, retained ones.

Held by tests/project/test_feast_beside.py.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.plan import PlanView
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.storage.stored_name import plain_name, view_name
from skewless.contract.timestamps import UtcMicros
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.compiler import StoredView, source_of, view_of
from skewless.definitions.data_folder import data_folder, settings_of
from skewless.definitions.recorded_views import decode_view, record_of
from skewless.definitions.stored_names import StoredNames
from skewless.feast.pushed_rows import Row, packed
from skewless.offline.tables.source import TableSource
from skewless.online.push.push import targets
from skewless.online.store.store import SyncOnlineStore
from skewless.state.database import StateDatabase
from skewless.state.definition_log import DefinitionLog
from skewless.state.definition_records import DefinitionRecord, RecordsFile


def stored_names(config: RepoConfig) -> StoredNames:
    """The names that the project's definitions are stored under. Raises: StateUnreachable."""
    url, project = settings_of(config).state_url, config.project
    records: Sequence[DefinitionRecord] | None = _records_file(url).records(project)
    if records is None:
        records = DefinitionLog(_state(url), project).records()
    known = _names.get((url, project))
    if known is None or (known[0] is not records and known[0] != records):
        known = _names[url, project] = records, StoredNames.of_records(records)
    return known[1]


def retained_beside(config: RepoConfig, names: StoredNames, view: PlanView) -> Sequence[tuple[PlanView, TableSource]]:
    """The superseded definitions of the same feature view. Raises: InvalidPlan."""
    same = [name for name in names.latest if name != view.stored_as and view_name(name) == view_name(view.stored_as)]
    kept = [decode_view(names.latest[name].definition, data_folder(config)) for name in sorted(same)]
    return [(view.plan, replace(view.source, superseded=True)) for view in kept]


def write_beside(
    config: RepoConfig,
    writer: SyncOnlineStore,
    names: StoredNames,
    table: StoredView,
    data: Sequence[Row],
    now: UtcMicros,
) -> None:
    """Write rows of a view to its superseded definitions too, as far as their columns are among the rows'.

    Raises: as `SkewlessOnlineStore.online_write_batch`.
    """
    view = names.of(view_of(config, table, table.projection))
    kept = retained_beside(config, names, view)
    if not kept or isinstance(table, OnDemandFeatureView):
        return
    folder = data_folder(config)
    target = targets([(view, source_of(table, folder))], folder, kept)[plain_name(view.stored_as)]
    for other in target.also:
        rows = [row for row in (_beside(row, target, other) for row in data) if row] if target.fills(other) else []
        keys, packed_rows = packed(config.project, other.view, rows, now)
        writer.write(other.view, keys, packed_rows, writer.prepare(other.view).horizon(now))


def unrecorded(
    config: RepoConfig, tables: Sequence[StoredView], kept: Collection[str], names: StoredNames
) -> list[DefinitionRecord]:
    """Records of those feature views that are kept and have none: the registry forgets them."""
    folder, records = data_folder(config), []
    for table in tables:
        view = names.of(view_of(config, table, table.projection))
        if view.stored_as in kept and names.recorded(view) is None and isinstance(table, FeatureView):
            compiled = CompiledView(view, source_of(table, folder), dict(table.tags or {}), ())
            records.append(record_of(compiled, folder, datetime.now(UTC)))
    return records


def _beside(row: Row, target: PushTarget, other: PushTarget) -> Row | None:
    """A row of the target as another definition of its table has it; None where it lacks a join key of that."""
    entity, values, event, created = row
    columns = {target.column(name): value for name, value in values.items()}
    columns |= {target.column(k): value for k, value in zip(entity.join_keys, entity.entity_values, strict=True)}
    keys = [key.key for key in other.view.join_keys]
    key_values = [columns.get(other.column(key), Value()) for key in keys]
    if any(value.WhichOneof("val") is None for value in key_values):
        return None
    named = [field.name for field in other.view.fields]
    named += [other.view.deleted_field] if other.view.deleted_field else []
    features = {name: columns[other.column(name)] for name in named if other.column(name) in columns}
    return EntityKey(join_keys=keys, entity_values=key_values), features, event, created


_names: dict[tuple[str, str], tuple[Sequence[DefinitionRecord], StoredNames]] = {}
"""By state database and project: the records of the last look, and the names by them."""


@lru_cache(maxsize=8)
def _records_file(url: str) -> RecordsFile:
    return RecordsFile(url)


@lru_cache(maxsize=8)
def _state(url: str) -> StateDatabase:
    """One connection pool for each process, as the online store has one connection."""
    return StateDatabase(url)
