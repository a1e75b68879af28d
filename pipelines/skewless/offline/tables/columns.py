"""Columns of a view's table, checked against and cast to the types that the feature view declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from skewless.contract.timestamp_arrays import UTC_TIMESTAMP, UtcMicrosArray
from skewless.contract.timestamps import nanos_to_micros
from skewless.contract.value_types import ValueType
from skewless.offline.values.column_types import (
    as_texts,
    holds,
    is_text,
    natural,
    numbers_as_text,
    plain_layout,
    takes_value,
    text_type,
)
from skewless.offline.values.exact_values import InexactValue, convertible, exact, float_mend
from skewless.runtime.errors import SourceMismatch


def stored_types(
    view: str, schemas: Iterable[tuple[str, pa.Schema]], kinds: Mapping[str, ValueType | None], keys: Collection[str]
) -> dict[str, set[pa.DataType]]:
    """The types in which a table's files (by path) store each column, of which `keys` are join keys.

    Raises: SourceMismatch for a type that does not fit the declared one.
    """
    types: dict[str, set[pa.DataType]] = {column: set() for column in kinds}
    for path, schema in schemas:
        names = frozenset(schema.names)
        for column, kind in kinds.items():
            if column in names:
                stored = schema.field(column).type
                numbered = kind is not None and column in keys and numbers_as_text(kind, stored)
                if kind is not None and not numbered and not takes_value(kind, stored):
                    raise SourceMismatch(view, column, f"{_type_difference(kind, stored)} (in {path})")
                types[column].add(stored)
    return types


def common_type(view: str, name: str, stored: set[pa.DataType], declared: ValueType | None) -> pa.DataType:
    """The type to read a column in, given its types in the files: null where none has it. Raises: SourceMismatch if they
    have no type in common.
    """
    valued = {kind for kind in stored if not pa.types.is_null(kind)}
    if len(valued) < 2:
        return next(iter(valued), pa.null())
    if declared is None:
        precise = any(pa.types.is_timestamp(kind) and kind.unit == "ns" for kind in stored)
        return pa.timestamp("ns", tz="UTC") if precise else UTC_TIMESTAMP
    common = natural(declared) or text_type(declared)
    if common is None or declared.name == "ZonedTimestamp":
        listed = ", ".join(sorted(map(str, stored)))
        raise SourceMismatch(view, name, f"must have one type in all files and has {listed}; rewrite the table")
    return common


def in_common_type(
    view: str, name: str, column: pa.ChunkedArray | pa.Array, kind: ValueType, common: pa.DataType
) -> pa.ChunkedArray | pa.Array:
    """A column of lists, maps or structs in the type that it has in other files, where that holds its values exactly.

    Raises: SourceMismatch.
    """
    if column.type == common:
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), common)
    if natural(kind) == common and not is_text(column.type):
        return column.cast(common)
    # Feast takes seconds to import, and few tables hold maps or structs in two forms.
    from skewless.offline.values.arrow_answers import in_type  # noqa: PLC0415
    from skewless.offline.values.feast_messages import REFUSALS, messages  # noqa: PLC0415

    try:
        return in_type(kind, messages(kind, _as_array(column)), common)
    except REFUSALS as error:
        reason = f"has values in the type {column.type} that do not fit the type {common} of its table"
        raise SourceMismatch(view, name, f"{reason} ({error})") from error


def _type_difference(declared: ValueType, stored: pa.DataType) -> str:
    expected = declared.name if declared.encoding == "value" else declared.arrow
    return f"is {stored} and is declared as {expected}"


def feature(view: str, name: str, column: pa.ChunkedArray, kind: ValueType) -> pa.Array:
    """A column of a table as `ViewRows` has it: in the declared type; values that are stored as messages (a list, map,
    struct, ...) in the type of the table. Raises: SourceMismatch.
    """
    if not takes_value(kind, column.type):
        raise SourceMismatch(view, name, _type_difference(kind, column.type))
    if kind.encoding == "value":
        return _as_array(column)
    texts = as_texts(kind, _as_array(column))
    return cast(view, name, texts, kind.arrow)


def join_key(view: str, name: str, column: pa.ChunkedArray | pa.Array, kind: ValueType) -> pa.Array:
    """As `feature`, except that integers for a key that is declared as text become their decimal texts.

    Raises: SourceMismatch.
    """
    if numbers_as_text(kind, column.type):
        return _as_array(column).cast(kind.arrow)
    return feature(view, name, column, kind)


@contextmanager
def rows_of_file(file: Path, place: Callable[[int], int]) -> Iterator[None]:
    """Errors of a row name it as a row of the file, whose number (from 0) `place` gives. Raises: SourceMismatch."""
    try:
        yield
    except SourceMismatch as error:
        if error.row is None:
            raise
        reason = f"{error.reason}, in row {place(error.row) + 1} of {file}"
        raise SourceMismatch(error.view, error.column, reason) from error


def _as_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) and array.num_chunks == 1 else array
    return plain_layout(array)


def cast(view: str, name: str, column: pa.ChunkedArray | pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in the declared type, exactly; a double may be rounded to the nearest float32. Raises: SourceMismatch."""
    array = _as_array(column)
    reason = f"is {array.type} and is declared as {kind}"
    if array.type != kind and not (holds(kind, array.type) or convertible(kind, array.type)):
        raise SourceMismatch(view, name, reason)
    try:
        return exact(array, kind)
    except InexactValue as error:
        mend = float_mend(kind, array.type)
        reason += f" ({mend})" if mend else ""
        raise SourceMismatch(view, name, f"{reason}, which does not hold {error.text}", error.row) from error
    except pa.ArrowNotImplementedError as error:
        raise SourceMismatch(view, name, f"{reason}: {error}") from error


def known_since(view: str, name: str, column: pa.ChunkedArray | pa.Array, otherwise: UtcMicrosArray) -> UtcMicrosArray:
    """A created-time column as `time_column`, and where it is null `otherwise`. Raises: SourceMismatch."""
    if not column.null_count:
        return time_column(view, name, column)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_null(array.type):
        return otherwise
    known = array.is_valid().to_numpy(zero_copy_only=False)
    times = otherwise.copy()
    times[known] = time_column(view, name, array.drop_null())
    return times


def time_column(view: str, name: str, column: pa.ChunkedArray | pa.Array) -> UtcMicrosArray:
    """A time column as microseconds since 1970 UTC; naive times are UTC, nanoseconds are truncated.

    Raises: SourceMismatch for another type (dates, texts), or for the first null.
    """
    if not pa.types.is_timestamp(column.type):
        raise SourceMismatch(view, name, f"is {column.type}; it must be a timestamp")
    if column.null_count:
        row = int(pc.index(column.is_null(), value=True).as_py())
        raise SourceMismatch(view, name, "is null, and each row needs a time", row)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if column.type.unit == "ns":
        nanos: UtcMicrosArray = array.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return nanos_to_micros(nanos)
    try:
        precise = array.cast(pa.timestamp("us", tz=column.type.tz))
    except pa.ArrowInvalid as error:
        raise SourceMismatch(view, name, f"holds a time beyond the range of 64-bit microseconds ({error})") from error
    times: UtcMicrosArray = precise.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return times
