"""The value types of features: Feast's names, their packed width, their NumPy and Arrow form.

A type is *fixed* (packed as its little-endian bytes) or *text* (packed as an offset and bytes).
Source: the numbers are `feast.types.ValueType` of Feast 0.67, which entity keys and registries carry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from serving.contract.errors import UnsupportedType


@dataclass(frozen=True, slots=True)
class ValueType:
    """A feature's type. `numpy` is the dtype of its values in arrays (object for text)."""

    name: str
    number: int
    numpy: np.dtype
    arrow: pa.DataType
    text: bool = False

    @property
    def width(self) -> int:
        """Bytes in the fixed part of a row: the value itself, or a text's end offset."""
        return 4 if self.text else int(self.numpy.itemsize)


_TYPES = {
    kind.name: kind
    for kind in (
        ValueType("Bytes", 1, np.dtype(object), pa.binary(), text=True),
        ValueType("String", 2, np.dtype(object), pa.string(), text=True),
        ValueType("Int32", 3, np.dtype("<i4"), pa.int32()),
        ValueType("Int64", 4, np.dtype("<i8"), pa.int64()),
        ValueType("Float64", 5, np.dtype("<f8"), pa.float64()),
        ValueType("Float32", 6, np.dtype("<f4"), pa.float32()),
        ValueType("Bool", 7, np.dtype("?"), pa.bool_()),
        ValueType("UnixTimestamp", 8, np.dtype("<i8"), pa.timestamp("us", tz="UTC")),
    )
}
NAMES = tuple(_TYPES)


def value_type(name: str, *, feature: str = "") -> ValueType:
    """The type called `name` in Feast's spelling (`Float32`). Raises: UnsupportedType."""
    try:
        return _TYPES[name]
    except KeyError:
        raise UnsupportedType(feature, name) from None


def type_numbered(number: int, *, feature: str = "") -> ValueType:
    """The type with Feast's `ValueType` number. Raises: UnsupportedType."""
    for kind in _TYPES.values():
        if kind.number == number:
            return kind
    raise UnsupportedType(feature, f"ValueType {number}")
