"""Feast's Value messages: the stored form of lists, sets, maps, structs and zoned times.

`message` makes them, from a table's rows (in materialization and in the join) and from pushed values, so that both stores
have the same bytes. It uses the declared type where Feast guesses from the first value, and sorts sets, so that equal
values are equal bytes. A null inside a flat list or set is refused, since the messages cannot represent it. Times inside
of messages are in whole seconds, as in Feast.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import ValueType as FeastType
from feast.protos.feast.types.Value_pb2 import Map, ScalarMapEntry, Value
from feast.type_map import (
    NULL_TIMESTAMP_INT_VALUE,
    VALUE_TYPE_TO_PROTO_VALUE_MAP,
    feast_value_type_to_python_type,
    python_values_to_proto_values,
)

from skewless.contract.value_types import ValueType, value_type

FIELDS = {kind.value: name for kind, name in VALUE_TYPE_TO_PROTO_VALUE_MAP.items()} | {
    FeastType.PDF_BYTES.value: "bytes_val",
    FeastType.IMAGE_BYTES.value: "bytes_val",
    FeastType.ZONED_TIMESTAMP.value: "zoned_timestamp_val",
}
"""The field of a Value message for each type, by the type's number."""

REFUSALS = (TypeError, ValueError, KeyError, AttributeError, AssertionError, OverflowError, pa.ArrowException)
"""Errors of Feast, Arrow and protobuf for a value that is not of its type."""
_FLOATS = {"Float32", "Float64"}
_PLAIN = {bool: "bool_val", int: "int64_val", float: "double_val", str: "string_val", bytes: "bytes_val"}


def messages(kind: ValueType, column: pa.Array) -> pa.Array:
    """An Arrow column of the type as the bytes of Value messages, null where null. Raises: one of REFUSALS."""
    if kind.shape == "array" and kind.inner[0].name in _FLOATS and not pa.types.is_null(column.type):
        return _float_lists(kind, column)
    values = column.to_pylist(maps_as_pydicts="strict")
    return pa.array([None if value is None else serialized(message(kind, value)) for value in values], pa.binary())


def serialized(value: Value) -> bytes:
    """The deterministic bytes of a message."""
    content: bytes = value.SerializeToString(deterministic=True)
    return content


def normalized(kind: ValueType, value: Value) -> bytes:
    """A pushed value in the form that `messages` writes. Raises: one of REFUSALS.

    Feast guesses the types inside a struct or a nested list; this replaces them by the declared types.
    """
    flat = kind.shape == "array" and kind.inner[0].shape == "scalar" and kind.inner[0].name != "Map"
    if flat or kind.name == "ZonedTimestamp":
        return serialized(value)
    return serialized(message(kind, plain(kind, value)))


def message(kind: ValueType, value: Any) -> Value:  # noqa: ANN401 - a Python value of any type
    """A Python value as a message; None is the empty message. Raises: one of REFUSALS."""
    if value is None:
        return Value()
    if kind.shape == "scalar":
        return _scalar(kind, value)
    if kind.shape == "struct":
        return Value(struct_val=_struct(kind, value))
    elements = _elements(kind.inner[0], list(value))
    if kind.shape == "set":
        keyed = {_order(element): element for element in elements}
        elements = [keyed[key] for key in sorted(keyed)]
    return _listed(FIELDS[kind.number], elements)


def plain(kind: ValueType, value: Value) -> Any:  # noqa: ANN401 - as above
    """A message's value in Python, the inverse of `message`. Sets are lists, in the order of the message."""
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        return None
    if kind.shape == "struct":
        return _plain_struct(kind, getattr(value, field))
    if kind.shape != "scalar":
        return _plain_elements(kind.inner[0], getattr(value, field).val)
    if kind.name in {"Map", "ScalarMap"} or field.endswith("timestamp_val"):
        return feast_value_type_to_python_type(value)
    return getattr(value, field)


def _scalar(kind: ValueType, value: Any) -> Value:  # noqa: ANN401
    if kind.name == "Map":
        return Value(map_val=_map(value))
    if kind.name == "ScalarMap":
        return _scalar_map(value)
    if kind.name in {"UnixTimestamp", "ZonedTimestamp"}:
        return _of_feast(FeastType(kind.number), value)
    if kind.name == "Json" and not isinstance(value, str):
        value = json.dumps(value)
    result = Value()
    setattr(result, FIELDS[kind.number], str(value) if kind.encoding == "utf8" else value)
    return result


def _of_feast(kind: FeastType, value: object) -> Value:
    result: Value = python_values_to_proto_values([value], kind)[0]
    return result


def _elements(inner: ValueType, values: list[Any]) -> Iterable[Any]:
    """The elements of a list's or set's message."""
    if inner.shape in ("array", "set"):
        return [message(inner, value) for value in values]
    if inner.name == "UnixTimestamp":
        return [_seconds(value) for value in values]
    if None in values:
        raise ValueError("a null inside a list or set, which Feast's values cannot hold; fill it in the table")
    if inner.shape == "struct":
        return [_struct(inner, value) for value in values]
    if inner.name == "Map":
        return [_map(value) for value in values]
    list_type = value_type(f"Array({inner.name})")
    elements: Iterable[Any] = getattr(_of_feast(FeastType(list_type.number), values), FIELDS[list_type.number]).val
    return elements


def _seconds(value: object) -> int:
    result = Value() if value is None else _of_feast(FeastType.UNIX_TIMESTAMP, value)
    return int(result.unix_timestamp_val) if result.HasField("unix_timestamp_val") else int(NULL_TIMESTAMP_INT_VALUE)


def _listed(field: str, elements: Iterable[Any]) -> Value:
    result = Value()
    target = getattr(result, field)
    target.SetInParent()
    target.val.extend(elements)
    return result


def _order(element: Any) -> Any:  # noqa: ANN401
    """The key that identifies and sorts the elements of a set: the bits of floats and messages."""
    if isinstance(element, float):
        return struct.pack(">d", element)
    return serialized(element) if isinstance(element, Value) else element


def _struct(kind: ValueType, value: Any) -> Map:  # noqa: ANN401
    entries = _mapping(value)
    result = Map()
    for name, inner in zip(kind.names, kind.inner, strict=True):
        result.val[name].CopyFrom(message(inner, entries.get(name)))
    return result


def _map(value: Any) -> Map:  # noqa: ANN401
    result = Map()
    for name, inner in _mapping(value).items():
        result.val[name].CopyFrom(_guessed(inner))
    return result


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """A map, parsed if it is JSON text, as in Feast."""
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise TypeError(f"{parsed!r} is not a map")
    return parsed


def _scalar_map(value: Mapping[Any, Any]) -> Value:
    entries = []
    for key, inner in value.items():
        (entry,) = _of_feast(FeastType.SCALAR_MAP, {key: None}).scalar_map_val.val
        entries.append(ScalarMapEntry(key=entry.key, value=_guessed(inner)))
    return _listed("scalar_map_val", sorted(entries, key=lambda entry: entry.key.SerializeToString(deterministic=True)))


def _guessed(value: Any) -> Value:  # noqa: ANN401
    """A value of a map, whose type is not declared. Feast's own guess treats NaN as null and refuses empty containers."""
    if value is None:
        return Value()
    field = _PLAIN.get(type(value))
    if field is not None:
        result = Value()
        setattr(result, field, value)
        return result
    if isinstance(value, Mapping):
        keyed = value and not isinstance(next(iter(value)), str)
        return _scalar_map(value) if keyed else Value(map_val=_map(value))
    if isinstance(value, set | frozenset | tuple | list | np.ndarray):
        return _guessed_list(sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value))
    guessed: Value = python_values_to_proto_values([value])[0]
    return guessed


def _guessed_list(values: list[Any]) -> Value:
    if values and all(isinstance(value, Mapping) for value in values):
        return _listed("map_list_val", [_map(value) for value in values])
    if not values or any(value is None or isinstance(value, list | Mapping) for value in values):
        return _listed("list_val", [_guessed(value) for value in values])
    result: Value = python_values_to_proto_values([values])[0]
    return result


def _plain_struct(kind: ValueType, entries: Map) -> dict[str, Any]:
    pairs = zip(kind.names, kind.inner, strict=True)
    return {name: plain(inner, entries.val[name]) if name in entries.val else None for name, inner in pairs}


def _plain_elements(inner: ValueType, elements: Iterable[Any]) -> list[Any]:
    if inner.shape in ("array", "set"):
        return [plain(inner, element) for element in elements]
    as_python: Callable[[Any], Any] = lambda element: element  # noqa: E731 - one of four
    if inner.shape == "struct":
        as_python = lambda element: _plain_struct(inner, element)  # noqa: E731
    elif inner.name == "Map":
        as_python = lambda element: feast_value_type_to_python_type(Value(map_val=element))  # noqa: E731
    elif inner.name == "UnixTimestamp":
        as_python = lambda element: feast_value_type_to_python_type(Value(unix_timestamp_val=element))  # noqa: E731
    return [as_python(element) for element in elements]


def _float_lists(kind: ValueType, column: pa.Array) -> pa.Array:
    """Lists of floats, bit for bit, without a message object each: the bytes of their elements after a header."""
    inner = kind.inner[0]
    lists = column.cast(pa.large_list(inner.arrow))
    flat = lists.flatten()
    if flat.null_count:
        _elements(inner, [None])
    raw = flat.to_numpy(zero_copy_only=False).tobytes()
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False) * inner.width
    ends = np.cumsum(sizes)
    spans = zip((ends - sizes).tolist(), ends.tolist(), lists.is_valid().to_pylist(), strict=True)
    return pa.array(
        [_head(kind.number, end - start) + raw[start:end] if is_valid else None for start, end, is_valid in spans],
        pa.binary(),
    )


@lru_cache(maxsize=1024)
def _head(number: int, size: int) -> bytes:
    """The header of a message before `size` bytes of packed floats."""
    field = Value.DESCRIPTOR.fields_by_name[FIELDS[number]].number
    inside = b"\x0a" + _varint(size) if size else b""
    return _varint(field << 3 | 2) + _varint(len(inside) + size) + inside


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
