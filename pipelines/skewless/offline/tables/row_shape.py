"""The columns that a table's rows must have when they come in: their names, types and times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP
from skewless.contract.timestamps import nanos_to_micros, to_micros
from skewless.contract.value_types import ValueType
from skewless.offline.tables.row_versions import CREATED, EVENT
from skewless.offline.values.column_types import is_text, natural, numbers_as_text, plain_layout, takes_value
from skewless.offline.values.exact_values import InexactValue, exact, float_mend

_KEPT = {"Uuid", "TimeUuid", "Decimal", "Json", "Map", "ScalarMap", "ZonedTimestamp"}
"""Types whose values have several Arrow types, each of which readers take."""


@dataclass(eq=False)
class IngestMismatch(SkewlessError):
    """Rows that came in for a table cannot be stored; `origin` is the file or function that they come from."""

    table: str
    origin: str
    reason: str

    def __str__(self) -> str:
        return f"table {self.table!r} cannot be ingested from {self.origin}: {self.reason}; nothing was written"


@dataclass(frozen=True, slots=True)
class RowShape:
    """`names` are the table's names of the source's columns that have others, `types` the declared types by the table's
    names, `timezone` the zone of times without one. Rows must have the keys, the event time, the declared columns and those
    that are `required`. Columns of `times` that they lack are added, with the time since which each row is known, or with its
    event time. Rows that will be `stamped` have no created time.
    """

    table: str
    keys: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, ValueType] = field(default_factory=dict)
    timezone: str = "UTC"
    required: tuple[str, ...] = ()
    times: Mapping[str, str] = field(default_factory=dict)
    stamped: bool = False

    def fitted(self, batches: Iterable[pa.RecordBatch], origin: str) -> Iterator[pa.RecordBatch]:
        """The rows with the table's names; times in UTC, cut to the microsecond; declared types exactly; a null
        `created_timestamp` is the event time. Raises: IngestMismatch.
        """
        types: dict[str, pa.DataType] = {}
        row = 0
        for batch in batches:
            columns = {
                name: self._column(name, column, types.get(name), row, origin)
                for name, column in self._named(batch, origin).items()
            }
            types |= {name: column.type for name, column in columns.items() if not pa.types.is_null(column.type)}
            if columns[EVENT].null_count:
                place = int(np.flatnonzero(columns[EVENT].is_null().to_numpy(zero_copy_only=False))[0])
                raise self._mismatch(origin, f"row {row + place + 1} has no {self._source(EVENT)!r}")
            if CREATED in columns:
                columns[CREATED] = pc.coalesce(columns[CREATED], columns[EVENT])
            added = {
                name: columns.get(time, columns[EVENT]) for name, time in self.times.items() if name not in columns
            }
            columns |= added
            yield pa.RecordBatch.from_pydict(columns)
            row += batch.num_rows

    def _named(self, batch: pa.RecordBatch, origin: str) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            target = self.names.get(name, name)
            if target in columns:
                raise self._mismatch(origin, f"two of its columns are {target!r}: it has {batch.schema.names}")
            columns[target] = column
        for name in (*self.keys, EVENT, *self.types, *self.required):
            if name not in columns:
                raise self._mismatch(
                    origin, f"its rows lack the column {self._source(name)!r}; they have {batch.schema.names}"
                )
        if self.stamped and CREATED in columns:
            raise self._mismatch(
                origin, f"it is `stamped` and its rows have {self._source(CREATED)!r}; drop the one or the other"
            )
        return columns

    def _column(self, name: str, column: pa.Array, before: pa.DataType | None, row: int, origin: str) -> pa.Array:
        kind = self.types.get(name)
        time = name in (EVENT, CREATED) or (kind is not None and kind.name == "UnixTimestamp")
        try:
            column = plain_layout(column)
            if time or pa.types.is_timestamp(column.type):
                return _times(column, self.timezone)
            if kind is not None:
                return self._declared(name, column, kind)
            return column if before is None or pa.types.is_null(column.type) else exact(column, before)
        except InexactValue as error:
            wanted = "a time" if time else kind.name if kind is not None else before
            reason = (
                f"column {self._source(name)!r} has {error.text} in row {row + error.row + 1}, which is not {wanted}"
            )
            mend = float_mend(kind.arrow, column.type) if kind is not None else ""
            raise self._mismatch(origin, f"{reason}: {mend}" if mend else reason) from None
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError, _Unfit):
            wanted = "a time" if time else kind.name if kind is not None else before
            reason = f"column {self._source(name)!r} is {column.type} and must be {wanted}"
            raise self._mismatch(origin, reason) from None

    def _declared(self, name: str, column: pa.Array, kind: ValueType) -> pa.Array:
        if name in self.keys and numbers_as_text(kind, column.type):
            return column
        if not takes_value(kind, column.type):
            raise _Unfit
        wanted = natural(kind)
        if kind.name in _KEPT or wanted is None:
            return column
        return column.cast(wanted) if kind.encoding == "value" else exact(column, wanted)

    def _source(self, name: str) -> str:
        """The source's name of a column."""
        return next((source for source, target in self.names.items() if target == name), name)

    def _mismatch(self, origin: str, reason: str) -> IngestMismatch:
        return IngestMismatch(self.table, origin, reason)


class _Unfit(Exception):
    """A column is of a type that holds no values of the wanted one."""


def _times(column: pa.Array, zone: str) -> pa.Array:
    """Timestamps, dates and texts as UTC microseconds. Raises: InexactValue, _Unfit."""
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), UTC_TIMESTAMP)
    if is_text(column.type):
        return _parsed(column, zone)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if not pa.types.is_timestamp(column.type):
        raise _Unfit
    aware = column.type.tz is not None
    if column.type.unit == "ns":
        known = column.is_valid().to_numpy(zero_copy_only=False)
        micros = nanos_to_micros(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))
        column = pa.array(micros, mask=~known).cast(pa.timestamp("us"))
    else:
        column = exact(column, pa.timestamp("us", column.type.tz)).cast(pa.int64()).cast(pa.timestamp("us"))
    return column.cast(UTC_TIMESTAMP) if aware or zone == "UTC" else _localized(column, zone)


def _localized(column: pa.Array, zone: str) -> pa.Array:
    """Times of a zone's clock. Raises: InexactValue for one that the clock shows twice, or never."""
    try:
        return pc.assume_timezone(column, zone).cast(UTC_TIMESTAMP)
    except pa.ArrowInvalid:
        for row, value in enumerate(column):
            try:
                pc.assume_timezone(value, zone)
            except pa.ArrowInvalid:
                raise InexactValue(row, value.as_py()) from None
        raise


def _parsed(column: pa.Array, zone: str) -> pa.Array:
    """Times in ISO 8601, with an offset or without. Raises: InexactValue."""
    for kind in (pa.timestamp("us"), UTC_TIMESTAMP):
        try:
            return _times(column.cast(kind), zone)
        except pa.ArrowInvalid:
            continue
    micros: list[int | None] = []
    for row, text in enumerate(column.to_pylist()):
        try:
            time = None if text is None else datetime.fromisoformat(text)
        except ValueError:
            raise InexactValue(row, text) from None
        if time is not None and time.tzinfo is None:
            time = time.replace(tzinfo=ZoneInfo(zone))
        micros.append(None if time is None else to_micros(time))
    return pa.array(micros, pa.int64()).cast(UTC_TIMESTAMP)
