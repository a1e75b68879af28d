"""The bytes of an entity key: Feast's entity-key serialization version 3, then the project's name.

Source: `feast.infra.key_encoding_utils.serialize_entity_key` of Feast 0.67, held equal by a property test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from serving.contract.errors import InvalidInput
from serving.contract.plan import DUMMY_ENTITY
from serving.contract.types import ValueType, value_type

_STRING = 2
_SECOND = 1_000_000
_PACKED_INTS = {"Int32": "<i", "Int64": "<q"}
KeyValue = str | bytes | int


class EntityKeys:
    """Encodes the values of one set of join keys, given in any order; compiled once.

    `names` are the stored join keys and `dtypes` their Feast types, in the order in which `encode` gets the values.
    An entityless view has no names; its one key is that of Feast's dummy entity. A UnixTimestamp is given in
    microseconds like every time here, and stored in whole seconds like Feast's.
    Raises: InvalidInput where a type cannot be a key.
    """

    def __init__(self, project: str, names: Sequence[str], dtypes: Sequence[str]) -> None:
        if not names:
            names, dtypes = (DUMMY_ENTITY[0],), ("String",)
        ranked = sorted(range(len(names)), key=lambda position: names[position])
        self._order = tuple(ranked)
        self._names = tuple(names[position] for position in ranked)
        self._types = tuple(_key_type(names[position], dtypes[position]) for position in ranked)
        encoded = [name.encode() for name in self._names]
        head = [struct.pack("<I", len(encoded))]
        head += [struct.pack("<II", _STRING, len(name)) + name for name in encoded]
        self._head = b"".join(head)
        self._tail = project.encode()

    def encode(self, values: Sequence[KeyValue | None]) -> bytes | None:
        """The key of one entity, or None where a value is null: such an entity is never found.

        Raises: InvalidInput where a value does not fit its type.
        """
        parts = [self._head]
        for position, name, kind in zip(self._order, self._names, self._types, strict=True):
            value = values[position]
            if value is None:
                return None
            packed = _pack(name, kind, value)
            parts.append(struct.pack("<II", kind.number, len(packed)) + packed)
        parts.append(self._tail)
        return b"".join(parts)

    def encode_rows(self, columns: Sequence[Iterable[KeyValue | None]], rows: int) -> list[bytes | None]:
        """The keys of `rows` entities, given column by column. Without columns (entityless): the dummy key."""
        if not columns:
            return [self.encode((DUMMY_ENTITY[1],))] * rows
        encode, known = self.encode, {}
        keys: list[bytes | None] = []
        for values in zip(*columns, strict=True):
            if values not in known:
                known[values] = encode(values)
            keys.append(known[values])
        return keys


def _key_type(name: str, dtype: str) -> ValueType:
    kind = value_type(dtype, feature=name)
    if kind.name not in {"String", "Bytes", "UnixTimestamp", *_PACKED_INTS}:
        raise InvalidInput(name, f"type {dtype} cannot be a join key; use String, Bytes, Int32, Int64 or UnixTimestamp")
    return kind


def _pack(name: str, kind: ValueType, value: KeyValue) -> bytes:
    try:
        if kind.name in _PACKED_INTS:
            return struct.pack(_PACKED_INTS[kind.name], value)
        if kind.name == "UnixTimestamp" and not isinstance(value, str | bytes):
            seconds, rest = divmod(value, _SECOND)
            if not rest:
                return struct.pack("<q", seconds)
        elif kind.name == "String" and isinstance(value, str):
            return value.encode()
        elif kind.name == "Bytes" and isinstance(value, bytes):
            return value
    except (struct.error, UnicodeEncodeError):
        pass
    raise InvalidInput(name, f"{value!r} is no join key of type {kind.name}")
