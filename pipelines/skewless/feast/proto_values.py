"""Converts Feast's protobuf values to columns and back.

Held by tests/feast/test_value_types.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from skewless.contract.columns import ColumnValues
from skewless.contract.errors import InvalidInput
from skewless.contract.storage.entity_key import KeyValue
from skewless.contract.timestamps import SECOND_US
from skewless.contract.value_types import ValueType
from skewless.offline.values.feast_messages import FIELDS, REFUSALS, normalized

_ALIASES = {"map_val": "struct_val", "map_list_val": "struct_list_val"}
"""Fields in which Feast sends a struct whose type it does not know."""
NULL = Value()


def to_arrow(name: str, kind: ValueType, values: Iterable[Value]) -> pa.Array:
    """A column of the type, null where unset. Raises: InvalidInput where a value is of another type."""
    return pa.array(plain_values(name, kind, values), kind.arrow)


def plain_values(name: str, kind: ValueType, values: Iterable[Value]) -> list[KeyValue | float | bool | None]:
    """Python values, times in microseconds (Feast's are whole seconds). Raises: InvalidInput."""
    return [_plain(name, kind, value) for value in values]


def to_protos(kind: ValueType, values: ColumnValues) -> list[Value]:
    """Feast's values; its times are whole seconds, so microseconds are dropped. Raises: DecodeError (protobuf's own)."""
    if kind.encoding == "value":
        pairs = zip(values.data.tolist(), values.valid.tolist(), strict=True)
        return [Value.FromString(datum) if valid else NULL for datum, valid in pairs]
    field = FIELDS[kind.number]
    data: Sequence[object] = values.data.tolist()
    if kind.name == "UnixTimestamp":
        data = (values.data // SECOND_US).tolist()
    return [
        Value(**{field: datum}) if valid else NULL  # type: ignore[arg-type]
        for datum, valid in zip(data, values.valid.tolist(), strict=True)
    ]


def _plain(name: str, kind: ValueType, value: Value) -> KeyValue | float | bool | None:
    field = value.WhichOneof("val")
    if field is None or field == "null_val":
        return None
    if field != FIELDS[kind.number] and _ALIASES.get(field) != FIELDS[kind.number]:
        raise InvalidInput(name, f"it holds a {field.removesuffix('_val')} and its type is {kind.name}")
    if kind.encoding == "value":
        try:
            return normalized(kind, value)
        except REFUSALS as error:
            raise InvalidInput(name, f"it holds a value that is no {kind.name} ({error})") from error
    plain: KeyValue | float | bool = getattr(value, field)
    if kind.name != "UnixTimestamp":
        return plain
    return None if plain == NULL_TIMESTAMP_INT_VALUE else int(plain) * SECOND_US
