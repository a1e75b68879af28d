"""Pushed rows: parsed strictly from JSON, converted to a part of the table and to rows of the online store.

The HTTP route, the command line and the stream parse JSON rows with `PushRowsReader` into a `PushBatch`, which Feast's
push makes too; both stores are written from that one batch, so that offline and served values are equal.

A row names every join key and feature of the view (a feature may be null), `event_timestamp`, and may name
`created_timestamp` (else it is known since its receipt) and the view's mark of tombstones; a tombstone may leave its
features out. Nothing else: a row replaces the previous one completely, so a forgotten feature would read as null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from skewless.contract.columns import Flags
from skewless.contract.errors import InvalidInput, InvalidRows, NotPushable
from skewless.contract.json_values import PARSE, STORED, InvalidJsonValue, Parse, pointer_token
from skewless.contract.plan import PlanView
from skewless.contract.storage.entity_key import EntityKeyEncoder, KeyValue
from skewless.contract.storage.packed_row import layout_of
from skewless.contract.storage.push_target import PushTarget
from skewless.contract.timestamp_arrays import UtcMicrosArray, timestamp_array
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import ValueType, value_type

EVENT, CREATED = "event_timestamp", "created_timestamp"
MAX_ERRORS = 20
_ABSENT = object()
Pack = Callable[[str, str, ValueType, pa.Array], pa.Array]


class ParsedRows(NamedTuple):
    """Validated rows, not yet columns: their entity keys, and row after row the values of `PushRowsReader.names`."""

    keys: list[bytes]
    rows: list[list[Any]]


@dataclass(frozen=True, slots=True)
class PushBatch:
    """Validated rows of a view, column by column, in the order of its keys and features. Times are in microseconds."""

    view: PlanView
    keys: tuple[pa.Array, ...]
    event: UtcMicrosArray
    created: UtcMicrosArray
    deleted: Flags
    columns: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return len(self.event)

    def due(self, now: UtcMicros) -> Flags:
        """Which rows may be used at `now`; the others become usable later."""
        return np.asarray(self.view.rule.available_at(self.event, self.created) <= now)


class PushRowsReader:
    """Reads JSON rows for one target; compiled once. `parsers` are by type name.

    Raises: NotPushable where a type of the view has no parser.
    """

    def __init__(self, project: str, target: PushTarget, parsers: Mapping[str, Parse] = STORED) -> None:
        view = self.view = target.view
        self.target = target
        self._keys = [(key.key, parsers[key.dtype]) for key in view.join_keys]
        self._features = []
        for field in view.fields:
            if field.dtype not in parsers:
                raise NotPushable(
                    view.stored_as,
                    f"feature {field.name!r} has type {field.dtype}, which is not read from JSON here; "
                    "push with `skewless push` or Feast",
                )
            self._features.append((field.name, parsers[field.dtype]))
        self._deleted = view.deleted_field
        self.names = tuple(name for name, _ in (*self._keys, *self._features))
        self._required = {*self.names, EVENT}
        self._known = self._required | {CREATED} | ({self._deleted} if self._deleted else set())
        self._times, self._flags = PARSE["UnixTimestamp"], PARSE["Bool"]
        self._encode = EntityKeyEncoder(
            project, [k.key for k in view.join_keys], [k.dtype for k in view.join_keys]
        ).encode

    def read(self, rows: Sequence[object], at: str = "") -> ParsedRows:
        """Check and parse rows; `at` is the JSON pointer of their array. Raises: InvalidRows, with the first errors in order."""
        keys, parsed, errors = [], [], []
        for place, row in enumerate(rows):
            try:
                key, values = self._row(row)
            except (InvalidJsonValue, InvalidInput, KeyError):
                errors += self._errors(f"{at}/{place}", row)
                if len(errors) >= MAX_ERRORS:
                    break
            else:
                keys.append(key)
                parsed.append(values)
        if errors:
            raise InvalidRows(self.view.stored_as, tuple(errors[:MAX_ERRORS]))
        return ParsedRows(keys, parsed)

    def batch(self, parsed: Sequence[ParsedRows], now: UtcMicros, arrow: Arrow | None = None) -> PushBatch:
        """Parsed rows as one batch; `now` is the created time of rows without one."""
        rows = [row for part in parsed for row in part.rows]
        columns = [[row[place] for row in rows] for place in range(len(self.names))]
        deleted, event, created = ([row[place] for row in rows] for place in (-3, -2, -1))
        if self.target.created_timestamp_column is None:
            created = event
        keys, fields = len(self._keys), self.view.fields
        make = arrow or _arrow
        return PushBatch(
            self.view,
            tuple(_arrow(value_type(k.dtype), c) for k, c in zip(self.view.join_keys, columns, strict=False)),
            np.array(event, np.int64),
            np.array([now if time is None else time for time in created], np.int64),
            np.array(deleted, bool),
            tuple(make(value_type(f.dtype), c) for f, c in zip(fields, columns[keys:], strict=True)),
        )

    def _row(self, row: Any) -> tuple[bytes, list[Any]]:  # noqa: ANN401 - a JSON value
        """The key and values of one row. Raises: InvalidJsonValue, InvalidInput, KeyError; `_errors` then finds the errors."""
        if type(row) is not dict or not row.keys() <= self._known:
            raise InvalidJsonValue
        deleted = self._flags([row[self._deleted]])[0] if self._deleted in row else False
        keys = [parse([row[name]])[0] for name, parse in self._keys]
        if deleted:
            features = [parse([row.get(name)])[0] for name, parse in self._features]
        else:
            features = [parse([row[name]])[0] for name, parse in self._features]
        (event,) = self._times([row[EVENT]])
        (created,) = self._times([row.get(CREATED)])
        key = self._key(keys)
        if key is None or event is None:
            raise InvalidJsonValue
        return key, [*keys, *features, bool(deleted), event, created]

    def _key(self, values: list[KeyValue | None]) -> bytes | None:
        return self._encode(values) if self._keys else self._encode(("",))

    def _errors(self, at: str, row: Any) -> list[InvalidInput]:  # noqa: ANN401
        """The errors of a row, value by value, by the same parsers."""
        if type(row) is not dict:
            return [InvalidInput(at, "must be an object of join keys, features and event_timestamp")]
        errors = []
        deleted = self._deleted in row and row[self._deleted] is True
        times = [(EVENT, self._times), (CREATED, self._times)]
        marks = [(self._deleted, self._flags)] if self._deleted else []
        optional = {CREATED, self._deleted} | ({name for name, _ in self._features} if deleted else set())
        required = {EVENT, *(name for name, _ in self._keys)}
        for name, parse in (*self._keys, *self._features, *marks, *times):
            value, pointer = row.get(name, _ABSENT), f"{at}/{pointer_token(name)}"
            if value is _ABSENT:
                if name not in optional:
                    mend = "each row needs it" if name in required else "send null where the value is unknown"
                    errors.append(InvalidInput(pointer, f"is missing; {mend}"))
            elif value is None and name in required:
                errors.append(InvalidInput(pointer, "must not be null"))
            else:
                errors += self._refusals(pointer, parse, value)
        known = ", ".join([*self.names, EVENT, CREATED, *([self._deleted] if self._deleted else [])])
        unknown = [name for name in row if name not in self._known]
        errors += [InvalidInput(f"{at}/{pointer_token(n)}", f"is unknown; a row has {known}") for n in unknown]
        return errors or self._key_errors(at, row)

    @staticmethod
    def _refusals(pointer: str, parse: Parse, value: object) -> list[InvalidInput]:
        try:
            parse([value])
        except InvalidJsonValue as refused:
            return [InvalidInput(pointer, str(refused))]
        return []

    def _key_errors(self, at: str, row: dict[str, Any]) -> list[InvalidInput]:
        """Keys of the right type that cannot be stored, such as a time with a fraction of a second."""
        try:
            self._key([parse([row[name]])[0] for name, parse in self._keys])
        except InvalidInput as error:
            return [InvalidInput(f"{at}/{pointer_token(error.pointer)}", error.reason)]
        return []


Arrow = Callable[[ValueType, Sequence[Any]], pa.Array]


def _arrow(kind: ValueType, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_timestamp(kind.arrow):
        return pa.array(values, pa.int64()).cast(kind.arrow)
    return pa.array(values, kind.arrow)


def part_table(target: PushTarget, batch: PushBatch) -> pa.Table:
    """The batch as rows of the target's table."""
    view = target.view
    columns = {target.column(k.key): column for k, column in zip(view.join_keys, batch.keys, strict=True)}
    columns |= {target.column(f.name): column for f, column in zip(view.fields, batch.columns, strict=True)}
    if view.deleted_field:
        columns[target.column(view.deleted_field)] = pa.array(batch.deleted)
    columns[target.timestamp_field] = timestamp_array(batch.event)
    if target.created_timestamp_column:
        columns[target.created_timestamp_column] = timestamp_array(batch.created)
    return pa.table(columns)


def batch_beside(other: PushTarget, part: pa.Table) -> PushBatch:
    """The rows of a part as another definition of its table has them; the target of the part must fill the other one's.

    Rows without a join key of the other definition are left out: no entity of it has them.
    """
    view = other.view
    for key in view.join_keys:
        part = part.filter(part.column(other.column(key.key)).is_valid())
    columns = {name: column.combine_chunks() for name, column in zip(part.column_names, part.columns, strict=True)}
    event = _micros(columns[other.timestamp_field])
    deleted = np.zeros(len(part), bool)
    if view.deleted_field:
        deleted = columns[other.column(view.deleted_field)].to_numpy(zero_copy_only=False)
    return PushBatch(
        view,
        tuple(columns[other.column(key.key)] for key in view.join_keys),
        event,
        _micros(columns[other.created_timestamp_column]) if other.created_timestamp_column else event,
        deleted,
        tuple(columns[other.column(field.name)] for field in view.fields),
    )


def batch_keys(project: str, batch: PushBatch) -> list[bytes | None]:
    """The entity key of each row of a batch; None where a join key is null. Raises: InvalidInput for a key that cannot be stored."""
    keys = batch.view.join_keys
    columns = [(key.cast(pa.int64()) if pa.types.is_timestamp(key.type) else key).to_pylist() for key in batch.keys]
    encoder = EntityKeyEncoder(project, [key.key for key in keys], [key.dtype for key in keys])
    return encoder.encode_rows(columns, len(batch))


def _micros(times: pa.Array) -> UtcMicrosArray:
    micros: UtcMicrosArray = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return micros


def online_rows(batch: PushBatch, pack: Pack | None = None) -> list[bytes]:
    """The batch as packed rows. `pack` serializes a column that is a list, map or struct in Arrow."""
    columns: Sequence[pa.Array] = batch.columns
    if pack is not None:
        fields = zip(batch.view.fields, columns, strict=True)
        columns = [pack(batch.view.stored_as, field.name, value_type(field.dtype), column) for field, column in fields]
    return layout_of(batch.view.fields).encode(batch.event, batch.created, batch.deleted, columns)
