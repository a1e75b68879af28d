"""The bytes of an entity key: Feast's entity-key serialization version 3, then the project's name.

Source: `feast.infra.key_encoding_utils.serialize_entity_key` of Feast 0.67, held equal by a property test.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

from skewless.contract.errors import InvalidInput
from skewless.contract.plan import DUMMY_ENTITY
from skewless.contract.timestamps import SECOND_US
from skewless.contract.value_types import ValueType, value_type

_BYTES, _STRING = 1, 2
_SHORT = 4
_PACKED_INTS = {"Int32": "i", "Int64": "q"}
KeyValue = str | bytes | int
Pack = Callable[[KeyValue], bytes]


class EntityKeyEncoder:
    """Encodes the values of one set of join keys, in any order; compiled once.

    `names` are the stored join keys and `dtypes` their Feast types, in the order in which `encode` gets the values.
    An entityless view has no names; its one key is that of Feast's dummy entity. A UnixTimestamp is passed in
    microseconds like every time here, and stored in whole seconds as in Feast.
    Raises: InvalidInput where a type cannot be a key.
    """

    def __init__(self, project: str, names: Sequence[str], dtypes: Sequence[str]) -> None:
        if not names:
            names, dtypes = (DUMMY_ENTITY[0],), ("String",)
        ranked = sorted(range(len(names)), key=lambda position: names[position])
        self._order = tuple(ranked)
        self._packers = tuple(_packer(names[position], dtypes[position]) for position in ranked)
        self._head = key_head(names)
        self._tail = project.encode()
        self._int_packer = self._single_int_packer(dtypes[0]) if len(names) == 1 else None

    def encode(self, values: Sequence[KeyValue | None]) -> bytes | None:
        """The key of one entity, or None where a value is null: such an entity has no row.

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

    def _single_int_packer(self, dtype: str) -> tuple[Callable[..., bytes], Iterable[bytes]] | None:
        """The function that packs the key of a single integer from its head, value and tail; and the repeated head."""
        code = _PACKED_INTS.get(dtype)
        if code is None:
            return None
        head = self._head + self._packers[0](0)[: -struct.calcsize(f"<{code}")]
        return struct.Struct(f"<{len(head)}s{code}{len(self._tail)}s").pack, repeat(head)

    def encode_rows(self, columns: Sequence[Iterable[KeyValue | None]], rows: int) -> list[bytes | None]:
        """The keys of `rows` entities from columns of values. Without columns (entityless): the dummy key."""
        if not columns:
            return [self.encode((DUMMY_ENTITY[1],))] * rows
        if len(columns) == 1:
            if self._int_packer is not None:
                try:
                    return list(map(*self._int_packer, columns[0], repeat(self._tail)))
                except struct.error:
                    pass  # a null, or a value that is no such integer
            head, tail, pack = self._head, self._tail, self._packers[0]
            return [None if value is None else head + pack(value) + tail for value in columns[0]]
        encode = self.encode
        return [encode(values) for values in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class ParsedEntityKey:
    """A parsed entity key: its join keys, sorted, their values, and the project."""

    names: tuple[str, ...]
    values: tuple[KeyValue, ...]
    project: str

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in zip(self.names, self.values, strict=True))


def key_head(names: Iterable[str]) -> bytes:
    """The bytes with which every key of these join keys begins."""
    encoded = [name.encode() for name in sorted(names)]
    return struct.pack("<I", len(encoded)) + b"".join(struct.pack("<II", _STRING, len(n)) + n for n in encoded)


def parse_key(key: bytes) -> ParsedEntityKey | None:
    """Parse an entity key; None where the bytes are not one. Times are in whole seconds, as they are stored."""
    try:
        (count,), place = struct.unpack_from("<I", key), 4
        parts = []
        for _ in range(2 * count):
            kind, length = struct.unpack_from("<II", key, place)
            end = place + 8 + length
            if end > len(key):
                return None
            parts.append(_parsed(kind, key[place + 8 : end]))
            place = end
        names = tuple(name for name in parts[:count] if isinstance(name, str))
        return ParsedEntityKey(names, tuple(parts[count:]), key[place:].decode()) if len(names) == count else None
    except (struct.error, UnicodeDecodeError):
        return None


def key_text(key: bytes) -> str:
    """An entity key for messages: its join keys and values, or its bytes in hexadecimal where it does not parse."""
    parsed = parse_key(key)
    return str(parsed) if parsed is not None and parsed.names else key.hex()


def _parsed(kind: int, data: bytes) -> KeyValue:
    if kind == _STRING:
        return data.decode()
    if kind == _BYTES:
        return data
    (number,) = struct.unpack("<i" if len(data) == _SHORT else "<q", data)
    return int(number)


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
            seconds, rest = divmod(value, SECOND_US)
            if not rest:
                return struct.pack("<q", seconds)
    except (struct.error, UnicodeEncodeError):
        pass
    raise InvalidInput(name, f"{value!r} is no join key of type {kind.name}")
