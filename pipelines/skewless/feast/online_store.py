"""Feast's online store on packed rows: the same keys, rows and admission rule as the server's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, NoReturn

from pydantic import StrictStr

from feast import Entity, FeatureService, FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_table_entity_values
from skewless.contract.timestamps import UtcMicros, to_micros
from skewless.definitions.data_folder import settings_of
from skewless.feast.apply import feature_store_hooks
from skewless.feast.errors import PRECOMPUTED_VECTORS, FeastUnsupported
from skewless.feast.online.online_features import OnlineRetrieval
from skewless.feast.online.online_read import Read, read_views
from skewless.feast.online.online_response import ViewColumns
from skewless.feast.pushed_rows import Row, key_columns, packed
from skewless.feast.removed_views import remove
from skewless.feast.stored_definitions import stored_names, write_beside
from skewless.feast.view_decoders import decoders, stored_view
from skewless.online.store import embedded_valkey
from skewless.online.store.connection import connect
from skewless.online.store.redis_protocol import SyncRedis
from skewless.online.store.store import SyncOnlineStore
from skewless.runtime.settings import ProjectSettings

_log = logging.getLogger(__name__)
feature_store_hooks.install()


class SkewlessOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store:` in feature_store.yaml."""

    type: StrictStr = "skewless.feast.SkewlessOnlineStore"
    url: StrictStr | None = None
    """As SKEWLESS_REDIS_URL, which is the default, else the embedded server."""


def client_of(config: RepoConfig) -> SyncRedis:
    """The connection of this process to the repository's online store. Raises: FeastUnsupported, RedisUnreachable."""
    store = config.online_store
    if not isinstance(store, SkewlessOnlineStoreConfig):
        raise FeastUnsupported(
            f"the online store {getattr(store, 'type', store)!r}", f"use {SkewlessOnlineStoreConfig().type}"
        )
    return _connection(store.url or _default_url(settings_of(config)))


def online_writer(config: RepoConfig) -> SyncOnlineStore:
    """The repository's online store, on the connection of this process. Raises: FeastUnsupported, RedisUnreachable."""
    return SyncOnlineStore(client_of(config), config.project)


class SkewlessOnlineStore(OnlineStore):
    """The newest write wins; reads follow the admission rule at the instant of the read.

    The asynchronous methods run the synchronous ones in a thread, so there is one implementation.
    """

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    async def initialize(self, config: RepoConfig) -> None:
        """Connect, so that an unreachable server is an error at startup. Raises: FeastUnsupported, RedisUnreachable."""
        await asyncio.to_thread(client_of, config)

    async def close(self) -> None:
        """Does nothing: other stores of this process may use the same connection."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows; a row older than the stored one changes nothing, so a batch may be written again.

        Raises: InvalidInput, UnsupportedType, FutureRows: nothing was written. RemovalUnfinished, StoreFull,
            StoreReadOnly, RedisUnreachable: nothing or any part was written. UnwritableKeys: all other rows were written.
        """
        names, now = stored_names(config), _now()
        view = stored_view(config, table, names)
        keys, rows = packed(config.project, view, data, now)
        writer = online_writer(config)
        writer.push(view, keys, rows, now)
        write_beside(config, writer, names, table, data, now)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """As `online_write_batch`."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        requested_features: Sequence[str] | None = None,
    ) -> list[Read]:
        """(None, None) for an entity that is not found; null values with their time for a stale row.

        Raises: CorruptRow, since Feast's result has no status for it; RedisUnreachable.
        """
        names = list(requested_features or [field.name for field in stored_view(config, table).fields])
        decoder = decoders.of(config, table, stored_names(config), names)
        keys = decoder.keys(key_columns(entity_keys), len(entity_keys))
        (rows,) = read_views(online_writer(config), config.project, [(decoder, keys)], _now())
        for error in rows.corrupt.values():
            raise error
        return rows.feast_rows(names)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        requested_features: Sequence[str] | None = None,
    ) -> list[Read]:
        """As `online_read`."""
        return await asyncio.to_thread(self.online_read, config, table, entity_keys, requested_features)

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: list[dict[str, Any]] | Mapping[str, Any],
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        include_feature_view_version_metadata: bool = False,  # noqa: FBT001, FBT002
    ) -> OnlineResponse:
        """All views in one round trip, then the on-demand views, each from its own sources. Raises: RedisUnreachable."""
        versions = include_feature_view_version_metadata
        retrieval = OnlineRetrieval(features, entity_rows, full_feature_names, versions)
        read = partial(self._read_columns, config, full=full_feature_names)
        return retrieval.run(registry, project, read, self._build_feature_types)

    async def get_online_features_async(self, *args: Any, **kwargs: Any) -> OnlineResponse:  # noqa: ANN401 - as above
        """As `get_online_features`."""
        return await asyncio.to_thread(self.get_online_features, *args, **kwargs)

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
        """As `get_online_features`, for callers of Feast's own."""
        full, versions = full_feature_names, include_feature_view_version_metadata
        for view in self._read_columns(config, grouped_refs, join_key_values, entity_name_to_join_key_map, full=full):
            view.add_to(online_features_response, versions=versions)

    def _read_columns(
        self,
        config: RepoConfig,
        grouped_refs: list[Any],
        join_key_values: dict[str, list[Value]],
        entity_name_to_join_key_map: dict[str, str],
        *,
        full: bool,
    ) -> list[ViewColumns]:
        """All views in one round trip, at one instant, with the true statuses (Feast's own stores always say PRESENT).

        A row that cannot be decoded is INVALID and logged; all other entities and views are returned.
        """
        if not grouped_refs:
            return []  # features that are made of the request alone
        rows = len(next(iter(join_key_values.values()), ()))
        requests, stored = [], stored_names(config)
        for table, names in grouped_refs:
            keys = _get_table_entity_values(table, entity_name_to_join_key_map, join_key_values)
            decoder = decoders.of(config, table, stored, names)
            requests.append((decoder, decoder.keys(keys, rows)))
        columns = []
        views = read_views(online_writer(config), config.project, requests, _now())
        for (table, names), view in zip(grouped_refs, views, strict=True):
            columns.append(ViewColumns.of(table, names, view, full=full))
            for error in view.corrupt.values():
                _log.error("%s", error)
        return columns

    async def _read_features_per_fv_async(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as above
        await asyncio.to_thread(self._read_features_per_fv, *args, **kwargs)

    def _is_versioned_read_supported(self) -> bool:
        """Each version of a view is stored under a name of its own."""
        return True

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002 - their rows go with their views
        entities_to_keep: Sequence[Entity],  # noqa: ARG002
        partial: bool,  # noqa: ARG002, FBT001 - Feast's signature
    ) -> None:
        """Refuse definitions that cannot be stored; delete the watermarks and rows of removed views.

        Where a view stays in another version, only the removed version is deleted. The catalog is not changed here: it
        lists what the store holds, so a definition enters it with the first rows written by it.
        Raises: FeastUnsupported, InvalidPlan, UnsupportedType, StateUnreachable, RedisUnreachable.
        """
        for table in tables_to_keep:
            stored_view(config, table)
        if tables_to_delete:
            remove(config, client_of(config), tables_to_delete, {table.name for table in tables_to_keep})

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],
        entities: Sequence[Entity],  # noqa: ARG002 - their rows go with their views
    ) -> None:
        """Delete the watermarks and rows of all views. Raises: StateUnreachable, RedisUnreachable."""
        if tables:
            remove(config, client_of(config), tables, set())

    def write_precomputed_vector(self, *_: object, **__: object) -> NoReturn:
        raise FeastUnsupported(*PRECOMPUTED_VECTORS)

    def read_precomputed_vectors(self, *_: object, **__: object) -> NoReturn:
        raise FeastUnsupported(*PRECOMPUTED_VECTORS)

    async def read_precomputed_vectors_async(self, *_: object, **__: object) -> NoReturn:
        raise FeastUnsupported(*PRECOMPUTED_VECTORS)

    def retrieve_online_documents(self, *_: object, **__: object) -> NoReturn:
        _no_search()

    def retrieve_online_documents_v2(self, *_: object, **__: object) -> NoReturn:
        _no_search()


@lru_cache(maxsize=8)
def _connection(url: str) -> SyncRedis:
    return connect(url)


@lru_cache(maxsize=8)
def _default_url(settings: ProjectSettings) -> str:
    return embedded_valkey.ensure(settings)


def _now() -> UtcMicros:
    return to_micros(datetime.now(UTC))


def _no_search() -> NoReturn:
    raise FeastUnsupported("search by vector or text", "keep embeddings in one of Feast's vector stores")
