"""Feast's offline store on Parquet files: every historical retrieval is one run of `skewless.offline.join.point_in_time`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pandas as pd
import pyarrow as pa
from pydantic import ByteSize, StrictStr

from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import compute_non_entity_date_range
from skewless.contract.timestamps import to_micros
from skewless.definitions.compiler import source_of, view_of
from skewless.definitions.data_folder import DataFolderConfig, data_folder, settings_of
from skewless.definitions.file_source import table_of
from skewless.feast.apply import feature_store_hooks
from skewless.feast.entities_in_range import entities_between
from skewless.feast.entity_frame import EntityFrame, entity_frame
from skewless.feast.entity_query import run_query
from skewless.feast.feature_log import append_logs
from skewless.feast.json_times import with_parsed_times
from skewless.feast.project_tables import project_tables
from skewless.feast.retrieval import PlannedRetrieval, check_request_data, columns_of, output_names, plan_of
from skewless.feast.retrieval_job import OnDemandOutputs, SkewlessRetrievalJob, single_part
from skewless.feast.source_rows import newest_of_each, rows_between, with_dummy_key
from skewless.offline.join.point_in_time import TIMESTAMP
from skewless.offline.tables.append import append
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema
from skewless.runtime.errors import SourceMismatch, SourceMissing

_PANDAS_INDEX = "__index_level_"
feature_store_hooks.install()


class SkewlessOfflineStoreConfig(DataFolderConfig):
    """`offline_store:` in feature_store.yaml."""

    type: StrictStr = "skewless.feast.SkewlessOfflineStore"
    join_memory: ByteSize | None = None
    """Memory that a historical retrieval may use besides its result, as `2GiB`. Default: SKEWLESS_JOIN_MEMORY."""


def _join_memory(config: RepoConfig) -> int:
    store = config.offline_store
    configured = store.join_memory if isinstance(store, SkewlessOfflineStoreConfig) else None
    return int(configured or settings_of(config).join_memory)


class SkewlessOfflineStore(OfflineStore):
    """Returns the entity frame's rows in their order, with the values that the online store would have returned then."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002
        **dates: datetime,
    ) -> RetrievalJob:
        """The entity frame's columns, then the features: as referenced, then the inputs of on-demand views.

        `entity_df` is a pandas frame, an Arrow table, or one SELECT over the project's tables by name. Without one the
        rows are the entities with a row in any view between `start_date` and `end_date`, as of `end_date`.
        With `filter_by_created_timestamp` this retrieval admits rows of every view by their created time.
        Raises: FeastUnsupported, EntityQueryRefused, SpineMismatch, InvalidPlan, UnsupportedType, and Feast's own on names
        that collide and request data that is missing.
        """
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        data = data_folder(config)
        views = [view_of(config, view, view.projection) for view in feature_views]
        if filter_by_created_timestamp:
            views = [msgspec.structs.replace(view, known_by="created_timestamp") for view in views]
        sources = {view.name: source_of(fv, data) for view, fv in zip(views, feature_views, strict=True)}
        names = output_names(feature_refs, views, on_demand, full=full_feature_names)
        if entity_df is None:
            start, end = compute_non_entity_date_range(feature_views, dates.get("start_date"), dates.get("end_date"))
            frame = EntityFrame(entities_between(views, sources, start, end), TIMESTAMP, None, since=start)
        elif isinstance(entity_df, str):
            frame = entity_frame(run_query(entity_df, project_tables(registry, project, data)))
        else:
            frame = entity_frame(entity_df)
        check_request_data(frame, on_demand)
        retrieval = PlannedRetrieval(plan_of(project, views, names), sources, frame, _join_memory(config))
        retrieval.check(names)
        return SkewlessRetrievalJob(
            retrieval.parts,
            data,
            full_feature_names=full_feature_names,
            on_demand=OnDemandOutputs(on_demand, {v.name: [key.name for key in v.join_keys] for v in views}),
            columns=columns_of(feature_refs, views, names),
            metadata=frame.metadata(feature_refs),
            entity_df=frame.pandas,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> SkewlessRetrievalJob:
        """The newest row of each entity, by event and then created time, with start <= event time <= end."""
        source = _source(config, data_source, timestamp_field, created_timestamp_column)
        columns = [*join_key_columns, *feature_name_columns] if feature_name_columns else []
        return SkewlessRetrievalJob(
            single_part(lambda: newest_of_each(rows_between(source, columns, start_date, end_date), join_key_columns)),
            data_folder(config),
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> SkewlessRetrievalJob:
        """Every row with start <= event time <= end; without join keys Feast's dummy key is the last column."""
        source = _source(config, data_source, timestamp_field, created_timestamp_column)
        columns = [*join_key_columns, *feature_name_columns]
        return SkewlessRetrievalJob(
            single_part(
                lambda: with_dummy_key(rows_between(source, columns, start_date, end_date).table, join_key_columns)
            ),
            data_folder(config),
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], object] | None,
    ) -> None:
        """Add rows to the view's table as a new file; existing files are not rewritten.

        Raises: InvalidPlan, SourceMismatch.
        """
        view = view_of(config, feature_view, feature_view.projection)
        source = source_of(feature_view, data_folder(config))
        rows = table.select([name for name in table.column_names if not name.startswith(_PANDAS_INDEX)])
        rows = rows.replace_schema_metadata(None).rename_columns([source.column(name) for name in rows.column_names])
        append(source, with_parsed_times(source, rows), view, now=to_micros(datetime.now(UTC)))
        if progress is not None:
            progress(len(rows))

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Add the log of Feast's feature server to the table of its destination. Raises: FeastUnsupported."""
        append_logs(
            data,
            logging_config.destination,
            source.get_schema(registry),
            data_folder(config),
            to_micros(datetime.now(UTC)),
        )

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Check that a source is Parquet and, where its table exists, that it has its time columns; it may be absent.

        Raises: InvalidPlan, SourceMismatch.
        """
        source = table_of(data_source.name, data_source, data_folder(config))
        try:
            names = newest_schema(source).names
        except SourceMissing:
            return
        for name in filter(None, (source.timestamp_field, source.created_timestamp_column)):
            if name not in names:
                raise SourceMismatch(source.view, name, f"is absent; the table has {names}")

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Name and Arrow type of each column. Raises: InvalidPlan, SourceMissing."""
        schema = newest_schema(table_of(data_source.name, data_source, data_folder(config)))
        return [(field.name, str(field.type)) for field in schema]


def _source(config: RepoConfig, data_source: DataSource, timestamp: str, created: str | None) -> TableSource:
    return table_of(data_source.name, data_source, data_folder(config), timestamp=timestamp, created=created or "")
