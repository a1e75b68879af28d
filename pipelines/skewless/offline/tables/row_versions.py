"""What a day of a table holds after rows came in: which of the stored rows stay, and since when the new ones are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.errors import SkewlessError
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP, timestamp_array
from skewless.contract.timestamps import to_micros

EVENT, CREATED = "event_timestamp", "created_timestamp"
Codes = NDArray[np.int64]
Combine = Callable[[str, pa.Table | None, pa.Table], pa.Table]
"""(table's name, stored rows of a day or None, rows that came in for it) -> the day's rows."""


@dataclass(eq=False)
class StoredTypesDiffer(SkewlessError):
    """Rows came in whose types cannot be put together with those of the stored rows."""

    table: str
    reason: str

    def __str__(self) -> str:
        return (
            f"rows of table {self.table!r} have other types than its stored rows: {self.reason}; declare the columns' types "
            "in the project's tables module, or remove the table's folder and ingest all of it again"
        )


def replaced(_table: str, _stored: pa.Table | None, incoming: pa.Table) -> pa.Table:
    """The rows that came in, and no others."""
    return incoming


@dataclass(frozen=True, slots=True)
class MergedRows:
    """Stored rows stay, but for those of which the key and the times came in again; of equal rows there is one."""

    keys: tuple[str, ...]

    def __call__(self, table: str, stored: pa.Table | None, incoming: pa.Table) -> pa.Table:
        both, old = _together(table, stored, incoming)
        times = [EVENT, CREATED] if CREATED in both.column_names else [EVENT]
        groups, contents = row_codes(both, [*self.keys, *times]), row_codes(both, both.column_names)
        again = np.isin(groups, groups[~old])
        return both.filter(pa.array((old & ~again) | (~old & _first(contents, ~old))))


@dataclass(frozen=True, slots=True)
class StampedRows:
    """Rows without created time get the time at which they first came in, `now`, and keep it.

    A row that differs from the stored one of its key and event time is a correction, known since `now`, and the old one
    stays. Rows that do not come in again stay too: they were known.
    """

    keys: tuple[str, ...]
    now: datetime

    def __call__(self, table: str, stored: pa.Table | None, incoming: pa.Table) -> pa.Table:
        if stored is not None and CREATED not in stored.column_names:
            stored = stored.append_column(CREATED, stored[EVENT])
        both, old = _together(table, stored, incoming.append_column(CREATED, pa.nulls(len(incoming), UTC_TIMESTAMP)))
        created = both[CREATED].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy().copy()
        values = [name for name in both.column_names if name != CREATED]
        groups, contents = row_codes(both, [*self.keys, EVENT]), row_codes(both, values)
        newest = np.full(len(groups) + 1, np.iinfo(np.int64).min)
        np.maximum.at(newest, groups[old], created[old])
        new = (
            ~old
            & _first(contents, ~old)
            & ~np.isin(contents, contents[self._current(groups, contents, old, created, newest)])
        )
        # Never before the row that it corrects, even where the clock went back.
        created[new] = np.maximum(to_micros(self.now), newest[groups[new]] + 1)
        place = both.column_names.index(CREATED)
        both = both.set_column(place, CREATED, timestamp_array(created))
        return both.filter(pa.array(old | new))

    @staticmethod
    def _current(
        groups: Codes, contents: Codes, old: NDArray[np.bool_], created: Codes, newest: Codes
    ) -> NDArray[np.bool_]:
        """The stored rows that a row which comes in may equal to be known already: the newest of its key and event time,
        or any of them where several rows of these came in.
        """
        pairs = np.unique(np.stack([groups[~old], contents[~old]]), axis=1)
        counts = np.bincount(pairs[0].astype(np.intp), minlength=len(newest))
        several: NDArray[np.bool_] = counts[groups] > 1
        current: NDArray[np.bool_] = old & (several | (created == newest[groups]))
        return current


def row_codes(rows: pa.Table, columns: Sequence[str]) -> Codes:
    """An integer from 0 for each row, equal for those rows that are equal, bit for bit, in these columns."""
    codes: Codes = np.zeros(len(rows), np.int64)
    for name in columns:
        values = _value_codes(rows[name])
        pairs = codes * (int(values.max(initial=0)) + 1) + values
        codes = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return codes


def _value_codes(column: pa.ChunkedArray) -> Codes:
    kind = column.type
    if pa.types.is_floating(kind):
        width = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        column = pa.chunked_array([chunk.view(width) for chunk in column.chunks], width)
    elif pa.types.is_nested(kind) or pa.types.is_null(kind):
        column = pa.chunked_array([pa.array([repr(value) for value in column.to_pylist()], pa.string())])
    elif pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    indices: Codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False) + 1
    return indices


def _first(codes: Codes, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first row of each code, of the rows `among`."""
    first = np.zeros(len(codes), bool)
    places = np.flatnonzero(among)
    first[places[np.unique(codes[places], return_index=True)[1]]] = True
    return first


def _together(table: str, stored: pa.Table | None, incoming: pa.Table) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Stored rows and the others below them, and which are stored. Raises: StoredTypesDiffer."""
    if stored is None:
        return incoming, np.zeros(len(incoming), bool)
    try:
        known = [field for field in stored.schema if field.name in incoming.schema.names]
        stored = stored.cast(pa.schema([incoming.schema.field(f.name) if f in known else f for f in stored.schema]))
        both = pa.concat_tables([incoming.slice(0, 0), stored, incoming], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise StoredTypesDiffer(table, str(error)) from error
    return both, np.arange(len(both)) < len(stored)
