"""Feast's online store on packed rows: the same keys, rows and admission rule as the server's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_table_entity_values, _populate_response_from_feature_data
from pydantic import StrictStr
from redis import Redis, RedisCluster

from pipelines import embedded
from pipelines.console import step
from pipelines.definitions import view_of
from pipelines.feast_stores import view_rows
from pipelines.feast_stores.errors import Unsupported
from pipelines.feast_stores.proto_values import to_arrow
from pipelines.feast_stores.view_read import Reading, ViewRead
from pipelines.online import OnlineWriter
from pipelines.redis_connection import connect
from pipelines.settings import Settings
from pipelines.state import State
from serving.contract.errors import InvalidInput, UnknownSchema
from serving.contract.freshness import Status
from serving.contract.instants import from_micros, to_micros
from serving.contract.online import Lookup
from serving.contract.plan import View
from serving.contract.row import Layout
from serving.contract.types import value_type

Row = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]
Read = tuple[datetime | None, dict[str, Value] | None]
_STATUSES = {
    Status.PRESENT: FieldStatus.PRESENT,
    Status.NULL: FieldStatus.NULL_VALUE,
    Status.NOT_FOUND: FieldStatus.NOT_FOUND,
    Status.STALE: FieldStatus.OUTSIDE_MAX_AGE,
}


class SkewlessOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store:` in feature_store.yaml."""

    type: StrictStr = "pipelines.feast_stores.online_store.SkewlessOnlineStore"
    url: StrictStr | None = None
    """As SKEWLESS_REDIS_URL, which is the default, else the embedded server."""


def client_of(config: RepoConfig) -> Redis | RedisCluster:
    """The connection of this process to the repository's online store. Raises: Unsupported, RedisUnreachable."""
    store = config.online_store
    if not isinstance(store, SkewlessOnlineStoreConfig):
        raise Unsupported(
            f"the online store {getattr(store, 'type', store)!r}", f"use {SkewlessOnlineStoreConfig().type}"
        )
    return _connection(store.url or _default_url(Settings.read()))


def online_writer(config: RepoConfig) -> OnlineWriter:
    """The repository's online store, on the connection of this process. Raises: Unsupported, RedisUnreachable."""
    return OnlineWriter(client_of(config), config.project)


class SkewlessOnlineStore(OnlineStore):
    """Writes win if they are newer; reads obey the admission rule at the instant of the read."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Raises: InvalidInput, UnsupportedType, RedisUnreachable; newest-wins makes writing all again harmless."""
        view = _view(config, table)
        keys, rows = _packed(config.project, view, data)
        writer = online_writer(config)
        writer.prepare(view)
        writer.write(view, keys, rows)
        writer.introduce(view)
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        requested_features: Sequence[str] | None = None,
    ) -> list[Read]:
        """(None, None) for an entity that is not found; null values with their time for a stale row."""
        view = _view(config, table)
        names = list(requested_features or [field.name for field in view.fields])
        read = ViewRead(config.project, view, names)
        keys = read.keys(_columns(entity_keys), len(entity_keys))
        (reading,) = _readings(config, [(read, keys)], _now())
        return _reads(reading, names)

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, list[Value]],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,  # noqa: ANN401 - Feast's protobuf
        full_feature_names: bool,  # noqa: FBT001 - Feast's signature
        include_feature_view_version_metadata: bool,  # noqa: FBT001
    ) -> None:
        """All views in one trip, at one instant, with honest statuses (Feast says PRESENT of what is not)."""
        rows = len(next(iter(join_key_values.values()), ()))
        asked = []
        for table, names in grouped_refs:
            columns = _get_table_entity_values(table, entity_name_to_join_key_map, join_key_values)
            read = ViewRead(config.project, _view(config, table), names)
            asked.append((read, read.keys(columns, rows)))
        for (table, names), reading in zip(grouped_refs, _readings(config, asked, _now()), strict=True):
            _populate_response_from_feature_data(
                names,
                _reads(reading, names),
                [[row] for row in range(rows)],
                online_features_response,
                full_feature_names,
                table,
                rows,
                include_feature_view_version_metadata,
            )
            vectors = online_features_response.results[-len(names) :]
            for vector, statuses in zip(vectors, reading.statuses, strict=True):
                vector.statuses[:] = [_STATUSES[Status(status)] for status in statuses.tolist()]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002 - their rows go with their views
        entities_to_keep: Sequence[Entity],  # noqa: ARG002
        partial: bool,  # noqa: ARG002, FBT001 - Feast's signature
    ) -> None:
        """Refuse definitions that cannot be stored; delete the watermarks and rows of views that are gone.

        The catalog learns a definition when rows are written by it, not here: it says what the store holds.
        Raises: Unsupported, InvalidPlan, UnsupportedType, StateUnreachable, RedisUnreachable.
        """
        for table in tables_to_keep:
            _view(config, table)
        _remove(config, tables_to_delete)

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],
        entities: Sequence[Entity],  # noqa: ARG002 - their rows go with their views
    ) -> None:
        """Delete the watermarks and rows of all views. Raises: StateUnreachable, RedisUnreachable."""
        _remove(config, tables)


@lru_cache(maxsize=8)
def _connection(url: str) -> Redis | RedisCluster:
    return connect(url)


@lru_cache(maxsize=8)
def _default_url(settings: Settings) -> str:
    return embedded.ensure(settings)


def _now() -> int:
    return to_micros(datetime.now(UTC))


def _view(config: RepoConfig, table: FeatureView) -> View:
    if not isinstance(table, FeatureView):
        raise Unsupported(f"a {type(table).__name__} in the online store", "write a feature view instead")
    return view_of(config, table, table.projection)


def _columns(entity_keys: Sequence[EntityKey]) -> dict[str, list[Value]]:
    """Join keys by name, column by column; all entities are of one kind."""
    columns: dict[str, list[Value]] = {}
    for entity in entity_keys:
        for name, value in zip(entity.join_keys, entity.entity_values, strict=True):
            columns.setdefault(name, []).append(value)
    return columns


def _packed(project: str, view: View, data: Sequence[Row]) -> tuple[list[bytes], list[bytes]]:
    """Keys and packed rows. A feature that a row lacks is null; a row without created time is known since its event.

    Raises: InvalidInput for a null join key or a value of another type.
    """
    keys = ViewRead(project, view, ()).keys(_columns([row[0] for row in data]), len(data))
    if any(_is_nat(row[2]) for row in data):
        raise InvalidInput("event_timestamp", f"is null in a row of feature view {view.name!r}")
    if None in keys:
        raise InvalidInput(f"/{keys.index(None)}", f"a join key of feature view {view.name!r} is null")
    event = np.array([_micros(row[2]) for row in data], np.int64)
    created = np.array([_micros(_known(row[2], row[3])) for row in data], np.int64)
    columns = [
        to_arrow(f.name, value_type(f.dtype), [row[1].get(f.name, Value()) for row in data]) for f in view.fields
    ]
    gone = [bool(view.deleted_field and row[1].get(view.deleted_field, Value()).bool_val) for row in data]
    rows = Layout(view.fields).encode(event, created, np.array(gone, bool), columns)
    return [key for key in keys if key is not None], rows


def _known(event: datetime, created: datetime | None) -> datetime:
    return event if created is None or _is_nat(created) else created


def _is_nat(time: datetime) -> bool:
    """NaT of pandas calls itself a datetime, and equals nothing."""
    return time != time  # noqa: PLR0124


def _micros(time: datetime) -> int:
    return to_micros(time if time.tzinfo else time.replace(tzinfo=UTC))


def _readings(config: RepoConfig, asked: Sequence[tuple[ViewRead, Sequence[bytes | None]]], at: int) -> list[Reading]:
    """One trip for all, each distinct entity once. Raises: RedisUnreachable, CorruptRow, UnknownSchema."""
    store = online_writer(config)
    wanted = {(key, read.field): None for read, keys in asked for key in keys if key is not None}
    replies = store.read([Lookup(key, (field,)) for key, field in wanted])
    found = {place: reply[0] for place, reply in zip(wanted, replies, strict=True)}
    readings = []
    for read, keys in asked:
        rows = [None if key is None else found[key, read.field] for key in keys]
        readings.append(_reading(store, read, rows, at))
    return readings


def _reading(store: OnlineWriter, read: ViewRead, rows: Sequence[bytes | None], at: int) -> Reading:
    """Looks a schema up that the view no longer has; each of them at most once."""
    learned: set[str] = set()
    while True:
        try:
            return read.reading(rows, at)
        except UnknownSchema as error:
            schema = store.schema(bytes.fromhex(error.fingerprint))
            if schema is None or error.fingerprint in learned:
                raise
            learned.add(error.fingerprint)
            read.learn(schema)


def _reads(reading: Reading, names: Sequence[str]) -> list[Read]:
    reads: list[Read] = []
    for row, status in enumerate(reading.view_status.tolist()):
        if status == Status.NOT_FOUND:
            reads.append((None, None))
        else:
            values = {name: column[row] for name, column in zip(names, reading.values, strict=True)}
            reads.append((from_micros(int(reading.event[row])), values))
    return reads


def _remove(config: RepoConfig, tables: Sequence[FeatureView]) -> None:
    views = [view_of(config, table, table.projection) for table in tables if isinstance(table, FeatureView)]
    if not views:
        return
    # First, so that a kill in between leaves too little remembered rather than too much.
    state = State(Settings.read().state_url)
    state.forget(config.project, [view.stored_as for view in views])
    state.close()
    with step("remove rows") as shown:
        removed = view_rows.remove(
            client_of(config), config.project, views, report=lambda view, done, _: shown.at(view, done)
        )
        shown.result = ", ".join(f"{rows:,} of {view}" for view, rows in removed.items())
