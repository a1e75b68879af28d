"""The entity frame that a caller of `get_historical_features` passes: its rows, time column and join keys.

Held by tests/feast/test_offline_store.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feast.errors import EntityTimestampInferenceException
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from skewless.contract.plan import Field
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import from_micros
from skewless.feast.errors import FeastUnsupported
from skewless.offline.join.point_in_time import TIMESTAMP, spine_times
from skewless.runtime.errors import SpineMismatch

_INTEGERS = {"Int32", "Int64"}
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class EntityFrame:
    """The rows as Arrow, the name of their time column, and the caller's frame where it was passed in pandas. `since` is
    the start of the time range where the rows are the entities of a range, as of its end.
    """

    table: pa.Table
    timestamp: str
    pandas: pd.DataFrame | None
    since: datetime | None = None

    def spine(self, join_keys: Sequence[Field]) -> pa.Table:
        """The time column and the join keys, as the join takes them. Raises: SpineMismatch."""
        columns = {TIMESTAMP: self.table.column(self.timestamp)}
        for key in join_keys:
            if key.name not in self.table.column_names:
                names = ", ".join(self.table.column_names)
                raise SpineMismatch(
                    key.name,
                    f"is absent; the entity frame has {names}, and columns are named by join keys, not entities",
                )
            columns.setdefault(key.name, _key(key, self.table.column(key.name)))
        return pa.table(columns)

    def metadata(self, feature_refs: list[str]) -> RetrievalMetadata:
        """The metadata that Feast stores with a retrieval. Raises: SpineMismatch."""
        times = self.times
        first = from_micros(int(times.min())) if len(times) else None
        return RetrievalMetadata(
            features=feature_refs,
            keys=[name for name in self.table.column_names if name != self.timestamp],
            min_event_timestamp=self.since or first,
            max_event_timestamp=from_micros(int(times.max())) if len(times) else None,
        )

    @property
    def times(self) -> UtcMicrosArray:
        """The rows' times in microseconds. Raises: SpineMismatch."""
        return spine_times(self.spine(()))


def entity_frame(frame: object) -> EntityFrame:
    """Parse the caller's frame. The time column is `event_timestamp`, else the only column of a time type.

    Raises: FeastUnsupported, SpineMismatch, EntityTimestampInferenceException (Feast's own).
    """
    if isinstance(frame, pa.Table):
        return EntityFrame(frame, _timestamp(frame), None)
    if not isinstance(frame, pd.DataFrame):
        raise FeastUnsupported(f"a {type(frame).__name__} as entity frame", "pass a pandas frame or an Arrow table")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
        raise SpineMismatch("*", f"does not convert to Arrow: {error}") from error
    return EntityFrame(table, _timestamp(table), frame)


def _timestamp(table: pa.Table) -> str:
    if len(set(table.column_names)) < table.num_columns:
        raise SpineMismatch("*", f"appears twice: the entity frame has {table.column_names}")
    if TIMESTAMP in table.column_names:
        return TIMESTAMP
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise EntityTimestampInferenceException(TIMESTAMP)
    return str(times[0])


def _key(key: Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The key column; integers that pandas made floats because some are missing are cast back to integers.

    Raises: SpineMismatch where a float is no integer, or is 2**53 or more in size.
    """
    if key.dtype not in _INTEGERS or not pa.types.is_floating(column.type):
        return column
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    largest = pc.max(pc.abs(column)).as_py()
    if largest is None or largest < _EXACT:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    raise SpineMismatch(key.name, f"is {column.type} and its values are not all whole numbers below 2**53")
