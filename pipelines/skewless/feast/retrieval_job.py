"""The offline store's retrieval job: a join or a scan that runs when its result is read.

Held by tests/feast/test_offline_store.py.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage
from skewless.feast.errors import FeastUnsupported
from skewless.feast.on_demand.offline_outputs import with_outputs
from skewless.files.durable import replace_file, replace_folder
from skewless.offline.files import parquet_writer
from skewless.offline.join.explain import waiting_warning

if TYPE_CHECKING:
    from feast.saved_dataset import ValidationReference

_LOG = logging.getLogger(__name__)
_NULLABLE = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


@dataclass(frozen=True, slots=True)
class ResultPart:
    """Some rows of a result, and by feature view how many of them are null only because no row was known yet."""

    table: pa.Table
    waiting: Mapping[str, int]


def single_part(table: Callable[[], pa.Table]) -> Callable[[], Iterator[ResultPart]]:
    """A result that is a single part, with no rows waiting for values."""

    def parts() -> Iterator[ResultPart]:
        yield ResultPart(table(), {})

    return parts


@dataclass(frozen=True, slots=True)
class OnDemandOutputs:
    """On-demand views to compute, and the join keys of all views of the result, by the names that they have in it."""

    views: Sequence[OnDemandFeatureView] = ()
    join_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)


class SkewlessRetrievalJob(RetrievalJob):
    """Runs `parts` (at least one) each time the result is read. Relative saved datasets start at `data`, like sources.

    `entity_df` is the caller's pandas frame: `to_df` returns its columns unchanged, and then the features. `columns` are
    the names of the features in the result, by their references.
    """

    def __init__(
        self,
        parts: Callable[[], Iterator[ResultPart]],
        data: Path,
        *,
        full_feature_names: bool = False,
        on_demand: OnDemandOutputs | None = None,
        columns: Mapping[str, str] | None = None,
        metadata: RetrievalMetadata | None = None,
        entity_df: pd.DataFrame | None = None,
    ) -> None:
        self._parts = parts
        self._waiting: Counter[str] | None = None
        self._rows = 0
        self._data = data
        self._full_feature_names = full_feature_names
        self._on_demand = on_demand or OnDemandOutputs()
        self._columns = columns or {}
        self._dropped: frozenset[str] = frozenset()
        self._metadata = metadata
        self._entity_df = entity_df

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Those that Feast has to compute: none, `_to_arrow_internal` has their outputs."""
        return []

    def return_only(self, feature_refs: Sequence[str]) -> None:
        """Leave out of the result what only on-demand views need, as an online response does: Feast names that like what
        a caller asks for.
        """
        returned = {self._columns[ref] for ref in feature_refs}
        self._dropped = frozenset(self._columns.values()) - returned
        if self._metadata is not None:
            self._metadata.features = list(feature_refs)

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
        table = pa.concat_tables(self._tables())
        if self._on_demand.views:
            requested, full = set(self._columns.values()) - self._dropped, self._full_feature_names
            table = with_outputs(table, self._on_demand.views, self._on_demand.join_keys, requested, full=full)
        return self._returned(table)

    def to_arrow_batches(self) -> Iterator[pa.RecordBatch]:
        """The result part by part, within the memory limit of the join. Feast runs on-demand views on all rows at once,
        so with them the whole result is built first.
        """
        for table in self._result_tables():
            yield from table.to_batches()

    @property
    def waiting(self) -> dict[str, int] | None:
        """By feature view, the number of rows whose features are null only because no row was known yet: a row of the
        view has an event_timestamp before the entity row's, but a later created_timestamp. None before the job ran.
        """
        return None if self._waiting is None else dict(self._waiting)

    def warnings(self) -> list[str]:
        """A line for each view whose rows wait for values, with the remedy; they are logged when the job runs."""
        counts = (self._waiting or Counter()).items()
        return [waiting_warning(view, count, self._rows) for view, count in counts if count]

    def _result_tables(self) -> Iterator[pa.Table]:
        return iter([self.to_arrow()]) if self._on_demand.views else map(self._returned, self._tables())

    def _returned(self, table: pa.Table) -> pa.Table:
        return table.select([name for name in table.column_names if name not in self._dropped])

    def _tables(self) -> Iterator[pa.Table]:
        waiting: Counter[str] = Counter()
        rows = 0
        for part in self._parts():
            waiting.update(part.waiting)
            rows += part.table.num_rows
            yield part.table
        self._waiting, self._rows = waiting, rows
        for line in self.warnings():
            _LOG.warning(line)

    def _pandas(self, table: pa.Table) -> pd.DataFrame:
        entities = self._entity_df.reset_index(drop=True) if self._entity_df is not None else None
        features = to_pandas(
            table.select(list(range(0 if entities is None else len(entities.columns), table.num_columns)))
        )
        return features if entities is None else pd.concat([entities, features], axis=1)

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        timeout: int | None = None,  # noqa: ARG002
    ) -> None:
        """Write the result to a Parquet file (`*.parquet`) or else to a folder, atomically, part by part as in
        `to_arrow_batches`.

        Raises: FeastUnsupported, SavedDatasetLocationAlreadyExists (Feast's own).
        """
        if not isinstance(storage, SavedDatasetFileStorage) or "://" in storage.file_options.uri:
            raise FeastUnsupported(
                "saved datasets elsewhere than in local files", "use SavedDatasetFileStorage(path=...)"
            )
        path = self._data / storage.file_options.uri
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        if path.suffix != ".parquet":
            with replace_folder(path) as building:
                parquet_writer.write(building / "part-0.parquet", self._result_tables())
            return
        with replace_file(path) as building:
            parquet_writer.write(building, self._result_tables())

    def to_remote_storage(self) -> list[str]:
        raise FeastUnsupported(
            "export to remote storage", "write the result of to_arrow() yourself, or persist() it locally"
        )

    def to_sql(self) -> str:
        raise FeastUnsupported("SQL of a retrieval", "the join does not run in SQL; use to_arrow() or to_df()")


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A table in pandas: integers and booleans of which some are missing get pandas' nullable types."""
    columns = {name: _series(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def _series(column: pa.ChunkedArray) -> pd.Series:
    if _has_fields(column.type):  # through NumPy the integers of a map or struct become floats where one is null
        return pd.Series(column.to_pylist(maps_as_pydicts="strict"), dtype=object)
    series: pd.Series = column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None)
    return series


def _has_fields(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_fields(kind.value_type)
    return bool(pa.types.is_map(kind) or pa.types.is_struct(kind))
