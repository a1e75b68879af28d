"""Columns of values between the stores and the model: a NumPy array and a validity mask.

Held by tests/contract/storage/test_packed_row.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skewless.contract.plan import Field
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.value_types import ValueType

Flags = NDArray[np.bool_]
"""A mask: which of n rows or values."""
Schema = tuple[Field, ...]
"""The features of a view with their types, in order."""


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """A feature's values for n entities: `data` of the type's NumPy dtype, and which of them are valid.

    Where `valid` is false the datum means nothing: zero (None for texts) for a null, anything where a rule hides it.
    """

    data: NDArray[np.generic]
    valid: Flags


@dataclass(frozen=True, slots=True)
class EntityRows:
    """The newest rows of one view for n entities. Times are int64 microseconds, MISSING where there is no row."""

    event: UtcMicrosArray
    created: UtcMicrosArray
    deleted: Flags
    columns: tuple[ColumnValues, ...]


def absent(kind: ValueType, rows: int) -> ColumnValues:
    """`rows` nulls of a type."""
    return ColumnValues(np.full(rows, None) if kind.text else np.zeros(rows, kind.numpy), np.zeros(rows, bool))


def numbers(kind: ValueType, column: pa.Array) -> NDArray[np.generic]:
    """The values of a fixed-width Arrow column in the type's NumPy dtype, zero where null, every bit kept."""
    column = column.cast(kind.arrow)
    if kind.name == "UnixTimestamp":
        column = column.cast(pa.int64())
    elif kind.name == "Bool":
        column = column.cast(pa.uint8())
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(0, column.type))
    filled: NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return filled.astype(kind.numpy, copy=False)


def column_values(kind: ValueType, column: pa.Array) -> ColumnValues:
    """An Arrow column as ColumnValues, equal to the result of packing and unpacking it."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if not kind.text:
        return ColumnValues(numbers(kind, column), valid)
    data = np.empty(len(column), object)
    data[:] = column.cast(kind.arrow).to_pylist()
    return ColumnValues(data, valid)
