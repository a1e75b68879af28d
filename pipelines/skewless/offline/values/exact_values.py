"""A column in another Arrow type, where that type holds its values exactly: whole doubles as integers, integers as doubles
below 2^53, 0 and 1 as booleans, decimals that are a whole number or a double, dates as times.

It is the one rule for every table, offline and online, so that both have the same values. Two conversions are not exact,
on purpose: a double becomes the nearest float32, and NaN under a type that has none is null (pandas writes missing so).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_types = pa.types


@dataclass(eq=False)
class InexactValue(Exception):
    """The value in `row` (from 0) of a column is not exact in the type wanted."""

    row: int
    value: object

    @property
    def text(self) -> str:
        """The value, for messages."""
        return str(self.value) if isinstance(self.value, Decimal) else repr(self.value)

    def __str__(self) -> str:
        return f"{self.text} in row {self.row}"


def float_mend(wanted: pa.DataType, stored: pa.DataType) -> str:
    """What to do about decimals that are no floats, as most prices; empty for other types."""
    if not (_types.is_decimal(stored) and _types.is_floating(wanted)):
        return ""
    return "cast it to DOUBLE in the SQL that makes the table, which rounds it, or declare it as Decimal"


def convertible(wanted: pa.DataType, stored: pa.DataType) -> bool:
    """Whether values of the type `stored` can be exact in the type `wanted`, beyond what Arrow's families allow."""
    number = _types.is_integer(stored) or _types.is_floating(stored)
    if _types.is_boolean(wanted):
        return bool(number)
    if _types.is_integer(wanted) or _types.is_floating(wanted):
        return bool(number or _types.is_decimal(stored))
    return False


def exact(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The values of a column in the type wanted. Raises: InexactValue, pa.ArrowNotImplementedError."""
    stored = column.type
    if stored == wanted:
        return column
    if _types.is_dictionary(stored):
        return exact(column.cast(stored.value_type), wanted)
    if _types.is_floating(wanted) and _types.is_floating(stored):
        return _rounded(column, wanted)
    if _types.is_floating(stored) and (_types.is_integer(wanted) or _types.is_boolean(wanted)):
        return _whole(column, wanted)
    if _types.is_decimal(stored) and _types.is_floating(wanted):
        return _from_decimals(column, wanted)
    if _types.is_boolean(wanted) and _types.is_integer(stored):
        _refuse(column, pc.is_in(column, value_set=pa.array([0, 1, None], stored)))
    return cast_exactly(column, wanted)


def _rounded(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    converted = column.cast(wanted)
    _refuse(column, pc.equal(pc.is_inf(converted), pc.is_inf(column)))
    return converted


def _whole(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Floats as integers or booleans. From 2^53 (float32: 2^24) on a float stands for several integers."""
    known = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if _types.is_boolean(wanted):
        _refuse(known, pc.or_(pc.equal(known, 0.0), pc.equal(known, 1.0)))
    else:
        limit = {16: 2.0**11, 32: 2.0**24, 64: 2.0**53}[column.type.bit_width]
        bounds = np.iinfo(wanted.to_pandas_dtype())
        least, greatest = max(1.0 - limit, float(bounds.min)), min(limit - 1.0, float(bounds.max))
        inside = pc.and_(pc.greater_equal(known, least), pc.less_equal(known, greatest))
        _refuse(known, pc.and_(pc.equal(pc.floor(known), known), inside))
    return cast_exactly(known, wanted)


def _from_decimals(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Decimals as floats: 0.5 is one, 0.1 is none."""
    values = column.to_pylist()
    floats = pa.array(
        values if not values else [None if value is None else float(value) for value in values], pa.float64()
    )
    floats = floats.cast(wanted)
    same = [value is None or Decimal(number) == value for value, number in zip(values, floats.to_pylist(), strict=True)]
    _refuse(column, pa.array(same, pa.bool_()))
    return floats


def _refuse(column: pa.Array, good: pa.Array) -> None:
    """Raises: InexactValue for the first value that is not good; null is."""
    bad = np.flatnonzero(~good.fill_null(True).to_numpy(zero_copy_only=False))  # noqa: FBT003
    if len(bad):
        raise InexactValue(int(bad[0]), column[int(bad[0])].as_py())


def cast_exactly(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Arrow's own cast, which refuses what it would change. Raises: InexactValue, pa.ArrowNotImplementedError."""
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:
        row = _first_refused(column, wanted)
        raise InexactValue(row, column[row].as_py()) from None


def _first_refused(column: pa.Array, wanted: pa.DataType) -> int:
    """The row of the first value that the cast refuses, by halves."""
    first, size = 0, len(column)
    while size > 1:
        half = size // 2
        try:
            column.slice(first, half).cast(wanted)
            first, size = first + half, size - half
        except pa.ArrowInvalid:
            size = half
    return first
