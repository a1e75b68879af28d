"""Converts Feast's protobuf values to columns and back.

Held by tests/feast/test_value_types.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from skewless.contract.errors import InvalidInput
from skewless.contract.storage.entity_key import KeyValue
from skewless.contract.storage.row_values import Datum
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


def to_protos(kind: ValueType, values: Sequence[Datum | Value | None]) -> list[Value]:
    """Feast's values of those that a row has; its times are whole seconds, so microseconds are dropped."""
    if kind.encoding == "value":
        return [NULL if message is None else message for message in values]  # type: ignore[misc]
    field = FIELDS[kind.number]
    if kind.name == "UnixTimestamp":
        values = [None if time is None else time // SECOND_US for time in values]  # type: ignore[operator]
    return [NULL if datum is None else Value(**{field: datum}) for datum in values]  # type: ignore[arg-type]


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
