"""Feast's Spark offline store over the same definitions: FileSources become temporary views of Spark.

Each view's table is prepared first, so that Feast's SQL gives what the join gives: one row for each entity and instant,
tombstones as rows of nulls, created times only where the view is known by them.

Held by tests/feast/spark/test_spark_store.py.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any, cast

import pandas as pd
import pyarrow as pa
from pydantic import Field, StrictStr
from pyspark.sql import DataFrame, SparkSession, Window, functions

from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark import (
    SparkOfflineStore,
    SparkOfflineStoreConfig,
    SparkRetrievalJob,
    get_spark_session_or_start_new_with_repoconfig,
)
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.infra.registry.base_registry import BaseRegistry
from skewless.contract.plan import PlanView
from skewless.contract.timestamps import SECOND_US
from skewless.definitions.compiler import source_of, view_of
from skewless.definitions.data_folder import DataFolderConfig, data_folder
from skewless.feast.errors import FeastUnsupported
from skewless.feast.offline_store import SkewlessOfflineStore
from skewless.feast.retrieval import output_names
from skewless.feast.retrieval_job import to_pandas
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema

_SETTINGS = {"spark.sql.session.timeZone": "UTC", "spark.sql.execution.arrow.pyspark.enabled": "true"}
_EVENT, _CREATED, _RANK = "event_timestamp", "created_timestamp", "__skewless_rank"


class SkewlessSparkOfflineStoreConfig(SparkOfflineStoreConfig, DataFolderConfig):
    """`offline_store:` in feature_store.yaml, with `spark_conf` as for Feast's own Spark store."""

    type: StrictStr = "skewless.feast.SkewlessSparkOfflineStore"
    spark_conf: dict[str, str] | None = Field(default_factory=dict)


class SkewlessSparkOfflineStore(SkewlessOfflineStore):
    """The Parquet store, with historical retrievals run by Spark."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: object,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002
        **_dates: datetime,
    ) -> SkewlessSparkJob:
        """The entity frame's rows in Spark's order, its columns and then the features.

        Raises: FeastUnsupported, InvalidPlan, UnsupportedType, and Feast's own on names that collide.
        """
        if not isinstance(entity_df, pd.DataFrame):
            raise FeastUnsupported("retrieval by Spark without a pandas entity frame", "pass a pandas frame")
        session = _session(config)
        views = [view_of(config, view, view.projection) for view in feature_views]
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        output_names(feature_refs, views, on_demand, full=full_feature_names)
        data = data_folder(config)
        tables = [
            _on_spark(session, definition, view, source_of(definition, data), by_created=filter_by_created_timestamp)
            for definition, view in zip(feature_views, views, strict=True)
        ]
        retrieval = SparkOfflineStore.get_historical_features(
            config,
            tables,
            feature_refs,
            entity_df.copy(),
            registry,
            project,
            full_feature_names,
            filter_by_created_timestamp=True,
        )
        job = cast(SparkRetrievalJob, retrieval)
        return SkewlessSparkJob(session, job.query, full_feature_names, config, on_demand, job.metadata)


class SkewlessSparkJob(SparkRetrievalJob):
    """Feast's job with exact integers: the result goes from Spark to Arrow without pandas."""

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return self.to_spark_df().toArrow()

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:  # noqa: ANN401
        """Integers and booleans of which some are missing get pandas' nullable types."""
        return to_pandas(self.to_arrow(validation_reference=validation_reference, timeout=timeout))


def _session(config: RepoConfig) -> SparkSession:
    session = get_spark_session_or_start_new_with_repoconfig(config.offline_store)
    for name, value in _SETTINGS.items():
        session.conf.set(name, value)
    return session


def _on_spark(
    session: SparkSession, definition: FeatureView, view: PlanView, source: TableSource, *, by_created: bool
) -> FeatureView:
    """A copy of the definition whose source is a temporary view of Spark. Raises: FeastUnsupported, SourceMissing."""
    if view.ttl_us % SECOND_US:
        raise FeastUnsupported(f"the ttl of feature view {view.name!r} on Spark", "give it whole seconds")
    if source.remote is not None:
        raise FeastUnsupported(f"the table {source.remote.url} on Spark", "mount it, and give the source a path")
    nanos = [field.name for field in newest_schema(source) if getattr(field.type, "unit", "") == "ns"]
    if nanos:
        raise FeastUnsupported(f"{', '.join(nanos)} in nanoseconds on Spark", "write the table's times in microseconds")
    created = source.created_timestamp_column if by_created or view.known_by == _CREATED else None
    table = f"skewless_{view.name}"
    read = session.read.option("mergeSchema", "true").parquet(*(str(file) for file in source.files()))
    _admissible(read, view, source, created).createOrReplaceTempView(table)
    on_spark = copy.copy(definition)
    if not view.join_keys:  # Feast's SQL joins a view without keys by time alone, and would look for the dummy key
        on_spark.entity_columns = []
    on_spark.batch_source = SparkSource(
        name=definition.name, table=table, timestamp_field=_EVENT, created_timestamp_column=_CREATED if created else ""
    )
    return on_spark


def _admissible(rows: DataFrame, view: PlanView, source: TableSource, created: str | None) -> DataFrame:
    """Keys, times and features by the names of the definitions; `created` only where the view is known by it. Of an
    entity's rows with the same times, the one created last.
    """
    deleted = rows[source.column(view.deleted_field)] if view.deleted_field else functions.lit(col=False)
    tombstone = functions.coalesce(deleted, functions.lit(col=False))
    times = {_EVENT: source.timestamp_field} | ({_CREATED: created} if created else {})
    newest = source.created_timestamp_column or source.timestamp_field
    last = Window.partitionBy(
        *(rows[source.column(key.key)] for key in view.join_keys), *(rows[name] for name in times.values())
    ).orderBy(rows[newest].desc())
    newest_rows = rows.withColumn(_RANK, functions.row_number().over(last)).where(functions.col(_RANK) == 1)
    return newest_rows.select(
        *(rows[source.column(key.key)].alias(key.key) for key in view.join_keys),
        *(rows[name].alias(alias) for alias, name in times.items()),
        *(functions.when(~tombstone, rows[source.column(f.name)]).alias(f.name) for f in view.fields),
    )
