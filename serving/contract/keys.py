"""The bytes of an entity key: Feast's entity-key serialization version 3, then the project's name.

Source: `feast.infra.key_encoding_utils.serialize_entity_key` of Feast 0.67, held equal by a property test.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.contract.errors import InvalidInput
from serving.contract.plan import DUMMY_ENTITY
from serving.contract.row import fixed_width
from serving.contract.types import ValueType, value_type

_STRING = 2
_SECOND = 1_000_000
_PACKED_INTS = {"Int32": "i", "Int64": "q"}
KeyValue = str | bytes | int
Pack = Callable[[KeyValue], bytes]


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
        self._packers = tuple(_packer(names[position], dtypes[position]) for position in ranked)
        self._types = tuple((names[position], _key_type(names[position], dtypes[position])) for position in ranked)
        encoded = [names[position].encode() for position in ranked]
        head = [struct.pack("<I", len(encoded))]
        head += [struct.pack("<II", _STRING, len(name)) + name for name in encoded]
        self._head = b"".join(head)
        self._tail = project.encode()

    def encode(self, values: Sequence[KeyValue | None]) -> bytes | None:
        """The key of one entity, or None where a value is null: such an entity is never found.

        Raises: InvalidInput where a value does not fit its type.
        """
        parts = [self._head]
        for position, pack in zip(self._order, self._packers, strict=True):
            value = values[position]
            if value is None:
                return None
            parts.append(pack(value))
        parts.append(self._tail)
        return b"".join(parts)

    def encode_rows(self, columns: Sequence[Iterable[KeyValue | None]], rows: int) -> list[bytes | None]:
        """The keys of `rows` entities, given column by column. Without columns (entityless): the dummy key."""
        if not columns:
            return [self.encode((DUMMY_ENTITY[1],))] * rows
        if len(columns) == 1:
            head, tail, pack = self._head, self._tail, self._packers[0]
            return [None if value is None else head + pack(value) + tail for value in columns[0]]
        encode = self.encode
        return [encode(values) for values in zip(*columns, strict=True)]

    def pack(self, columns: Sequence[pa.Array], rows: int) -> pa.BinaryArray:
        """The keys of `rows` entities, given as Arrow columns of the keys' types; null where one of them is.

        Raises: InvalidInput.
        """
        if not columns:
            return pa.repeat(pa.scalar(self.encode((DUMMY_ENTITY[1],)), pa.binary()), rows)
        parts: list[pa.BinaryArray | bytes] = [self._head]
        for position, (name, kind) in zip(self._order, self._types, strict=True):
            parts += _packed_column(name, kind, columns[position])
        return pc.binary_join_element_wise(*parts, self._tail, b"", null_handling="emit_null")


def _packed_column(name: str, kind: ValueType, column: pa.Array) -> list[pa.BinaryArray]:
    """What `_packer` gives for each value: the type and length, then the bytes."""
    if kind.name in {"String", "Bytes"}:
        texts = column.cast(pa.binary())
        lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
        head = np.empty(len(texts), [("number", "<u4"), ("length", "<u4")])
        head["number"], head["length"] = kind.number, lengths
        return [fixed_width(head), texts]
    valid = column.is_valid()
    values = column.cast(kind.arrow)
    if kind.name == "UnixTimestamp":
        values = values.cast(pa.int64())
    numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
    if kind.name == "UnixTimestamp":
        numbers, rest = np.divmod(numbers, _SECOND)
        if rest.any():
            whole = values[int(np.flatnonzero(rest)[0])].as_py()
            raise InvalidInput(name, f"{whole} is no join key of type {kind.name}")
    records = np.empty(len(values), [("number", "<u4"), ("length", "<u4"), ("value", kind.numpy)])
    records["number"], records["length"], records["value"] = kind.number, kind.width, numbers
    packed = fixed_width(records)
    return [packed if not values.null_count else pc.if_else(valid, packed, pa.scalar(None, pa.binary()))]


def _key_type(name: str, dtype: str) -> ValueType:
    kind = value_type(dtype, feature=name)
    if kind.name not in {"String", "Bytes", "UnixTimestamp", *_PACKED_INTS}:
        raise InvalidInput(name, f"type {dtype} cannot be a join key; use String, Bytes, Int32, Int64 or UnixTimestamp")
    return kind


def _packer(name: str, dtype: str) -> Pack:
    """The function from a key's value to its type, length and bytes."""
    kind = _key_type(name, dtype)
    number = kind.number

    if kind.name in _PACKED_INTS:
        packed = struct.Struct(f"<II{_PACKED_INTS[kind.name]}")
        pack, width = packed.pack, packed.size - 8

        def packed_int(value: KeyValue) -> bytes:
            try:
                return pack(number, width, value)
            except struct.error:
                raise InvalidInput(name, f"{value!r} is no join key of type {kind.name}") from None

        return packed_int

    head = struct.Struct("<II").pack

    def packed_text(value: KeyValue) -> bytes:
        data = _bytes(name, kind, value)
        return head(number, len(data)) + data

    return packed_text


def _bytes(name: str, kind: ValueType, value: KeyValue) -> bytes:
    try:
        if kind.name == "String" and isinstance(value, str):
            return value.encode()
        if kind.name == "Bytes" and isinstance(value, bytes):
            return value
        if kind.name == "UnixTimestamp" and isinstance(value, int):
            seconds, rest = divmod(value, _SECOND)
            if not rest:
                return struct.pack("<q", seconds)
    except (struct.error, UnicodeEncodeError):
        pass
    raise InvalidInput(name, f"{value!r} is no join key of type {kind.name}")
