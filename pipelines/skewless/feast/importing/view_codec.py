"""Feast's rows of one feature view as ours: keys, bytes to put aside until they are compared, and batches to push.

Held by tests/feast/importing/test_import_rows.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.columns import column_values
from skewless.contract.errors import InvalidInput
from skewless.contract.plan import DUMMY_ENTITY
from skewless.contract.storage.entity_key import EntityKeyEncoder, KeyValue, ParsedEntityKey, parse_key
from skewless.contract.storage.push_batch import PushBatch
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.storage.row_header import BIAS, ORDER_WIDTH, order_struct
from skewless.contract.storage.stored_name import plain_name
from skewless.contract.timestamps import SECOND_US, UtcMicros
from skewless.contract.value_types import ValueType, value_type
from skewless.feast.importing.former_rows import FormerRow, RowMark
from skewless.feast.proto_values import NULL, plain_values, to_arrow
from skewless.offline.values.arrow_answers import answer, decided_by_values, in_type
from skewless.offline.values.column_types import text_type
from skewless.offline.values.feast_messages import REFUSALS

_TIMES = order_struct(1)
_UNFIT = (InvalidInput, *REFUSALS)


class StoredFormerRow(msgspec.Struct, frozen=True, array_like=True):
    """A row of Feast's that was put aside: where it was, with which time, and its values in the order of the view's features."""

    place: bytes
    stamp: bytes
    values: list[bytes | None]

    @property
    def mark(self) -> RowMark:
        """What it takes to remove it."""
        return RowMark(self.place, self.stamp)


@dataclass(frozen=True, slots=True)
class FormerBatch:
    """Rows of Feast's as a batch to push, their keys, and their values, row by row. `unfit` counts the rows that are left out,
    by the feature whose declared type does not hold their value.
    """

    keys: list[bytes]
    rows: PushBatch
    values: list[list[Value]]
    unfit: Counter[str]


class FeastViewCodec:
    """Compiled for one target of pushes. `stored` are the types of the table's columns, by name."""

    def __init__(self, project: str, target: PushTarget, stored: Mapping[str, pa.DataType]) -> None:
        view = self.view = target.view
        self._created = target.created_timestamp_column is not None
        self._keys = [(key.key, value_type(key.dtype)) for key in view.join_keys]
        self._encoder = EntityKeyEncoder(project, [k.key for k in view.join_keys], [k.dtype for k in view.join_keys])
        self._names = tuple(sorted(name for name, _ in self._keys)) or DUMMY_ENTITY[:1]
        self._fields = [(field.name, value_type(field.dtype)) for field in view.fields]
        self._stored = {name: stored.get(target.column(name)) for name, _ in self._fields}
        self._unpack = msgspec.msgpack.Decoder(StoredFormerRow).decode

    @property
    def feast_name(self) -> str:
        """The name that Feast stores the view under, which has its version if Feast keeps versions apart."""
        name, _, version = plain_name(self.view.stored_as).partition("@")
        return f"{name}_{version}" if version else name

    def key(self, parsed: ParsedEntityKey | None) -> bytes | None:
        """Our key of an entity of Feast's; None where it is none of this view's."""
        if parsed is None or parsed.names != self._names:
            return None
        values = dict(zip(parsed.names, parsed.values, strict=True))
        try:
            return self._encoder.encode([_micros(kind, values[name]) for name, kind in self._keys] or [""])
        except InvalidInput:
            return None

    def pack(self, row: FormerRow, event: UtcMicros) -> bytes:
        """A row to put aside. Its first bytes are its times, as in our rows, so that rows compare like theirs."""
        values = [row.values.get(name) for name, _ in self._fields]
        return _TIMES.pack(event + BIAS, BIAS) + msgspec.msgpack.encode(StoredFormerRow(row.place, row.stamp, values))

    def unpack(self, packed: bytes) -> StoredFormerRow:
        """The row that was put aside."""
        return self._unpack(packed[ORDER_WIDTH:])

    def batch(self, keys: Sequence[bytes], packed: Sequence[bytes], created: UtcMicros) -> FormerBatch:
        """Rows that were put aside, as rows that are known since `created`."""
        unfit: Counter[str] = Counter()
        messages = [self._messages(row, unfit) for row in packed]
        try:
            arrays = self._arrays([row for row in messages if row is not None])
        except _UNFIT:
            messages = [self._fitting(row, unfit) for row in messages]
            arrays = self._arrays([row for row in messages if row is not None])
        fit = [place for place, row in enumerate(messages) if row is not None]
        rows = [row for row in messages if row is not None]
        event = np.array([_TIMES.unpack_from(packed[place])[0] - BIAS for place in fit], np.int64)
        names = [name for name, _ in self._fields]
        mark = names.index(self.view.deleted_field) if self.view.deleted_field in names else None
        batch = PushBatch(
            self.view,
            self._key_columns([keys[place] for place in fit]),
            event,
            np.full(len(event), created, np.int64) if self._created else event,
            np.array([mark is not None and row[mark].bool_val for row in rows], bool),
            arrays,
        )
        return FormerBatch([keys[place] for place in fit], batch, rows, unfit)

    def values(self, packed: Sequence[bytes]) -> list[list[Value] | None]:
        """The values of rows that were put aside; None for a row with bytes that are no message."""
        return [self._messages(row, Counter()) for row in packed]

    def equal(self, place: int, value: Value, other: Value) -> bool:
        """Whether two values of the feature at `place` are the same."""
        if value == other:
            return True
        name, kind = self._fields[place]
        try:
            mine, yours = (plain_values(name, kind, [one])[0] for one in (value, other))
        except InvalidInput:
            return False
        return mine == yours or (mine != mine and yours != yours)  # noqa: PLR0124 - NaN

    def _messages(self, packed: bytes, unfit: Counter[str]) -> list[Value] | None:
        """The values of a row; None, and one more in `unfit`, where the bytes of one are no message."""
        values = []
        for (name, _), data in zip(self._fields, self.unpack(packed).values, strict=True):
            try:
                values.append(NULL if data is None else Value.FromString(data))
            except DecodeError:
                unfit[name] += 1
                return None
        return values

    def _fitting(self, row: list[Value] | None, unfit: Counter[str]) -> list[Value] | None:
        """The row; None, and one more in `unfit`, where a value is not of its feature's type."""
        for (name, kind), value in zip(self._fields, row or (), strict=row is not None):
            try:
                self._array(name, kind, [value])
            except _UNFIT:
                unfit[name] += 1
                return None
        return row

    def _arrays(self, rows: Sequence[Sequence[Value]]) -> tuple[pa.Array, ...]:
        """The columns of a table. Raises: one of _UNFIT."""
        return tuple(
            self._array(name, kind, [row[place] for row in rows]) for place, (name, kind) in enumerate(self._fields)
        )

    def _array(self, name: str, kind: ValueType, values: Sequence[Value]) -> pa.Array:
        """Values as a column of the table: maps in the type that they have there, which is a map, a struct or JSON texts.

        Raises: one of _UNFIT.
        """
        packed = to_arrow(name, kind, values)
        if kind.encoding != "value":
            return packed
        stored = (self._stored[name] or text_type(kind)) if decided_by_values(kind) else None
        return answer(kind, column_values(kind, packed)) if stored is None else in_type(kind, packed, stored)

    def _key_columns(self, keys: Sequence[bytes]) -> tuple[pa.Array, ...]:
        parsed = [parse_key(key) for key in keys]
        values = [dict(zip(key.names, key.values, strict=True)) for key in parsed if key is not None]
        return tuple(
            pa.array([_micros(kind, row[name]) for row in values], pa.int64()).cast(kind.arrow)
            if kind.name == "UnixTimestamp"
            else pa.array([row[name] for row in values], kind.arrow)
            for name, kind in self._keys
        )


def _micros(kind: ValueType, value: KeyValue) -> KeyValue:
    """A key's value: times are in whole seconds in the key."""
    return value * SECOND_US if kind.name == "UnixTimestamp" and isinstance(value, int) else value
