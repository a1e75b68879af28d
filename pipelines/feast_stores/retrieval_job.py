"""The answer of the offline store to Feast: a join or a scan that runs when its result is asked for."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from pipelines.feast_stores.errors import Unsupported
from pipelines.folder import replace_folder

if TYPE_CHECKING:
    from feast.saved_dataset import ValidationReference

_ROWS_A_GROUP = 100_000
_NULLABLE = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


class SkewlessRetrievalJob(RetrievalJob):
    """Runs `evaluate` each time it is asked. Relative saved datasets start at `data`, like sources.

    `given` are the caller's own rows, which `to_df` hands back as they were; the features stand behind them.
    """

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        data: Path,
        *,
        full_feature_names: bool = False,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
        given: pd.DataFrame | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._data = data
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = on_demand_feature_views or []
        self._metadata = metadata
        self._given = given

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def to_df(
        self, validation_reference: ValidationReference | None = None, timeout: int | None = None
    ) -> pd.DataFrame:
        """The result in pandas: integers and booleans of which some are missing get pandas' nullable types."""
        return self._pandas(self.to_arrow(validation_reference=validation_reference, timeout=timeout))

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._pandas(self._to_arrow_internal(timeout))

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return self._evaluate()

    def _pandas(self, table: pa.Table) -> pd.DataFrame:
        own = self._given.reset_index(drop=True) if self._given is not None else None
        made = range(0 if own is None else len(own.columns), table.num_columns)
        columns = {table.column_names[place]: _series(table.column(place)) for place in made}
        features = pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))
        return features if own is None else pd.concat([own, features], axis=1)

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        timeout: int | None = None,
    ) -> None:
        """Write the result to a Parquet file (`*.parquet`), else to a folder, whole or not at all.

        Raises: Unsupported, SavedDatasetLocationAlreadyExists (Feast's own).
        """
        if not isinstance(storage, SavedDatasetFileStorage) or "://" in storage.file_options.uri:
            raise Unsupported("saved datasets elsewhere than in local files", "use SavedDatasetFileStorage(path=...)")
        path = self._data / storage.file_options.uri
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        table = self.to_arrow(timeout=timeout)
        if path.suffix != ".parquet":
            with replace_folder(path) as building:
                pq.write_table(table, building / "part-0.parquet", row_group_size=_ROWS_A_GROUP)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        building = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        try:
            pq.write_table(table, building, row_group_size=_ROWS_A_GROUP)
            building.replace(path)
        finally:
            building.unlink(missing_ok=True)

    def to_remote_storage(self) -> list[str]:
        raise Unsupported(
            "export to remote storage", "write the result of to_arrow() yourself, or persist() it locally"
        )

    def to_sql(self) -> str:
        raise Unsupported("SQL of a retrieval", "the join is not made in SQL; use to_arrow() or to_df()")


def _series(column: pa.ChunkedArray) -> pd.Series:
    if _keyed(column.type):  # through NumPy the integers of a map or struct become floats where one is missing
        return pd.Series(column.to_pylist(maps_as_pydicts="strict"), dtype=object)
    series: pd.Series = column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None)
    return series


def _keyed(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _keyed(kind.value_type)
    return bool(pa.types.is_map(kind) or pa.types.is_struct(kind))
