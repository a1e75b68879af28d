"""Feast's protobuf values as Arrow columns and back, for the types that rows can hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE

from serving.contract.errors import InvalidInput
from serving.contract.keys import KeyValue
from serving.contract.row import Values
from serving.contract.types import ValueType

_FIELDS = {
    "Bytes": "bytes_val",
    "String": "string_val",
    "Int32": "int32_val",
    "Int64": "int64_val",
    "Float64": "double_val",
    "Float32": "float_val",
    "Bool": "bool_val",
    "UnixTimestamp": "unix_timestamp_val",
}
_SECOND = 1_000_000
NULL = Value()


def to_arrow(name: str, kind: ValueType, values: Iterable[Value]) -> pa.Array:
    """A column of the type, null where unset. Raises: InvalidInput where a value is of another type."""
    return pa.array(plain_values(name, kind, values), kind.arrow)


def plain_values(name: str, kind: ValueType, values: Iterable[Value]) -> list[KeyValue | float | bool | None]:
    """Python values, times in microseconds. Feast's times are whole seconds. Raises: InvalidInput."""
    return [_plain(name, kind, value) for value in values]


def to_protos(kind: ValueType, values: Values) -> list[Value]:
    """Feast's values; its times are whole seconds, so microseconds are cut."""
    field = _FIELDS[kind.name]
    data: Sequence[object] = values.data.tolist()
    if kind.name == "UnixTimestamp":
        data = (values.data // _SECOND).tolist()
    return [
        Value(**{field: datum}) if there else NULL  # type: ignore[arg-type]
        for datum, there in zip(data, values.valid.tolist(), strict=True)
    ]


def _plain(name: str, kind: ValueType, value: Value) -> KeyValue | float | bool | None:
    held = value.WhichOneof("val")
    if held is None or held == "null_val":
        return None
    if held != _FIELDS[kind.name]:
        raise InvalidInput(name, f"it holds a {held.removesuffix('_val')} and its type is {kind.name}")
    plain: KeyValue | float | bool = getattr(value, held)
    if kind.name != "UnixTimestamp":
        return plain
    return None if plain == NULL_TIMESTAMP_INT_VALUE else int(plain) * _SECOND
