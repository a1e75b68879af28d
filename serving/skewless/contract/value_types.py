"""The value types of features: Feast's names, their packed width, their NumPy and Arrow form.

A type is *fixed* (packed as its little-endian bytes), *utf8* or *bytes* (an offset and the bytes), or *value*: a list,
set, map, struct or zoned time, packed as an offset and the bytes of Feast's `Value` message. Only the
pipelines interpret those bytes (`skewless.offline.values.feast_messages`); the contract does not.

Nested types are spelled as they are built: `Array(Float32)`, `Set(String)`, `Array(Array(Int64))`,
`Struct({"lat": Float64, "tags": Array(String)})`. A type has one spelling, so that equal types have equal fingerprints.
Source: the numbers are `feast.types.ValueType` of Feast 0.67, which entity keys and registries carry.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pyarrow as pa

from skewless.contract.errors import UnsupportedType
from skewless.contract.timestamp_arrays import UTC_TIMESTAMP

Encoding = Literal["fixed", "utf8", "bytes", "value"]
Shape = Literal["scalar", "array", "set", "struct"]


@dataclass(frozen=True, slots=True)
class ValueType:
    """A feature's type. `numpy` is the dtype of its values in arrays: object unless the type is fixed.

    `inner` are the types of an array's or set's elements (one) or of a struct's fields, which `names` names.
    """

    name: str
    number: int
    numpy: np.dtype
    arrow: pa.DataType
    encoding: Encoding = "fixed"
    shape: Shape = "scalar"
    inner: tuple[ValueType, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def text(self) -> bool:
        """Whether a value is bytes of any length: no number that a model could take."""
        return self.encoding != "fixed"

    @property
    def width(self) -> int:
        """Bytes in the fixed part of a row: the value itself, or a text's end offset."""
        return 4 if self.text else int(self.numpy.itemsize)


def _utf8(name: str, number: int) -> ValueType:
    return ValueType(name, number, np.dtype(object), pa.string(), "utf8")


def _bytes(name: str, number: int) -> ValueType:
    return ValueType(name, number, np.dtype(object), pa.binary(), "bytes")


def _value(
    name: str, number: int, shape: Shape = "scalar", inner: tuple[ValueType, ...] = (), names: tuple[str, ...] = ()
) -> ValueType:
    return ValueType(name, number, np.dtype(object), pa.binary(), "value", shape, inner, names)


_SCALARS = {
    kind.name: kind
    for kind in (
        _bytes("Bytes", 1),
        _utf8("String", 2),
        ValueType("Int32", 3, np.dtype("<i4"), pa.int32()),
        ValueType("Int64", 4, np.dtype("<i8"), pa.int64()),
        ValueType("Float64", 5, np.dtype("<f8"), pa.float64()),
        ValueType("Float32", 6, np.dtype("<f4"), pa.float32()),
        ValueType("Bool", 7, np.dtype("?"), pa.bool_()),
        ValueType("UnixTimestamp", 8, np.dtype("<i8"), UTC_TIMESTAMP),
        _value("Map", 20),
        _bytes("PdfBytes", 30),
        _bytes("ImageBytes", 31),
        _utf8("Json", 32),
        _utf8("Uuid", 36),
        _utf8("TimeUuid", 37),
        _utf8("Decimal", 44),
        _value("ScalarMap", 47),
        _value("ZonedTimestamp", 48),
    )
}
NAMES = tuple(name for name, kind in _SCALARS.items() if kind.number <= 8)
"""The plain types, which join keys, request inputs and transforms take too."""

_ARRAYS = {name: 10 + _SCALARS[name].number for name in NAMES}
_ARRAYS |= {"Map": 21, "Json": 33, "Uuid": 38, "TimeUuid": 39, "Decimal": 45}
_SETS = {name: 21 + _SCALARS[name].number for name in NAMES} | {"Uuid": 40, "TimeUuid": 41, "Decimal": 46}
_STRUCT, _STRUCT_ARRAY, _NESTED_ARRAY, _NESTED_SET = 34, 35, 42, 43
_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_JSON = json.JSONDecoder()
_DEEPEST = 32


@lru_cache(maxsize=4096)
def _parsed(spelling: str) -> ValueType | None:
    """The type of this spelling, or None where the type is spelled differently."""
    try:
        kind, end = _type(spelling, 0, 0)
    except (ValueError, KeyError, IndexError):
        return None
    return kind if end == len(spelling) and kind.name == spelling else None


def _type(text: str, at: int, depth: int) -> tuple[ValueType, int]:
    """The type that begins at `at`, and where it ends. Raises: ValueError, KeyError, IndexError."""
    match = _NAME.match(text, at)
    if match is None or depth > _DEEPEST:
        raise ValueError
    word, at = match.group(), match.end()
    if word == "Struct":
        return _struct(text, at, depth)
    if word not in ("Array", "Set"):
        return _SCALARS[word], at
    _expect(text, at, "(")
    inner, at = _type(text, at + 1, depth + 1)
    return (_array(inner) if word == "Array" else _set(inner)), _expect(text, at, ")")


def _struct(text: str, at: int, depth: int) -> tuple[ValueType, int]:
    names: list[str] = []
    kinds: list[ValueType] = []
    at = _expect(text, at, "({")
    while True:
        _expect(text, at, '"')
        name, at = _JSON.raw_decode(text, at)
        if name in names:
            raise ValueError
        kind, at = _type(text, _expect(text, at, ": "), depth + 1)
        names.append(name)
        kinds.append(kind)
        if text[at] != ",":
            break
        at = _expect(text, at, ", ")
    inside = ", ".join(f"{json.dumps(name)}: {kind.name}" for name, kind in zip(names, kinds, strict=True))
    kind = _value(f"Struct({{{inside}}})", _STRUCT, "struct", tuple(kinds), tuple(names))
    return kind, _expect(text, at, "})")


def _expect(text: str, at: int, token: str) -> int:
    if not text.startswith(token, at):
        raise ValueError
    return at + len(token)


def _array(inner: ValueType) -> ValueType:
    if inner.shape == "struct":
        number = _STRUCT_ARRAY
    else:
        number = _NESTED_ARRAY if inner.shape != "scalar" else _ARRAYS[inner.name]
    return _value(f"Array({inner.name})", number, "array", (inner,))


def _set(inner: ValueType) -> ValueType:
    number = _NESTED_SET if inner.shape in ("array", "set") else _SETS[inner.name]
    return _value(f"Set({inner.name})", number, "set", (inner,))


def value_type(name: str, *, feature: str = "") -> ValueType:
    """The type called `name` in Feast's spelling (`Float32`, `Array(String)`). Raises: UnsupportedType."""
    kind = _SCALARS.get(name) or _parsed(name)
    if kind is None:
        raise UnsupportedType(feature, name)
    return kind


def plain_type(name: str, *, feature: str = "") -> ValueType:
    """One of the plain types (`NAMES`). Raises: UnsupportedType."""
    if name not in NAMES:
        raise UnsupportedType(feature, name)
    return _SCALARS[name]
