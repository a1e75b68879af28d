"""Reads one feature view for Feast: encodes join keys as keys of the store, decodes packed rows.

Held by tests/feast/online/test_online_interface.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError

from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.admission import FeatureStatus
from skewless.contract.columns import Schema
from skewless.contract.errors import CorruptRow, InvalidInput
from skewless.contract.plan import DUMMY_ENTITY, Field, PlanView
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.packed_row import RowReader
from skewless.contract.storage.row_values import Datum, PlainRows, RowValues, plain_rows
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import ValueType, value_type
from skewless.feast.proto_values import plain_values, to_protos

FEW = 16
"""Number of rows up to which one at a time is faster, measured with ten features."""
_PRESENT, _NULL = int(FeatureStatus.PRESENT), int(FeatureStatus.NULL)


@dataclass(frozen=True, slots=True)
class DecodedView:
    """A view's rows of n entities: event times (MISSING without a row), the view's `FeatureStatus`, and n values of each
    feature, None unless the view is PRESENT. A value that is packed as Feast's message is that message.
    """

    event: list[int]
    view_status: list[int]
    values: list[Sequence[Datum | Value | None]]

    def messages(self, types: Sequence[ValueType]) -> list[list[Value]]:
        """Feast's message of each value, for the features' types."""
        return [to_protos(kind, column) for kind, column in zip(types, self.values, strict=True)]

    def feature_status(self, index: int) -> list[int]:
        """The status of one feature: as the view's, but NULL where a present row holds a null."""
        pairs = zip(self.view_status, self.values[index], strict=True)
        return [_NULL if status == _PRESENT and value is None else status for status, value in pairs]


class ViewDecoder:
    """Compiled from a view and the names of the requested features."""

    def __init__(self, project: str, view: PlanView, features: Sequence[str]) -> None:
        types = {field.name: field for field in view.fields}
        self.view = view
        self.field = view.stored_as.encode()
        self.features: tuple[Field, ...] = tuple(types[name] for name in features)
        self.types = tuple(value_type(field.dtype) for field in self.features)
        self._few = RowValues(self.features, [view.fields])
        self._many = RowReader(view.stored_as, self.features, [view.fields])
        self._key_types = tuple(value_type(key.dtype) for key in view.join_keys)
        self._key_names = tuple(key.key for key in view.join_keys)
        self._key_encoder = EntityKeyEncoder(project, self._key_names, [key.dtype for key in view.join_keys])

    def keys(self, columns: Mapping[str, Sequence[Value]], rows: int) -> list[bytes | None]:
        """The store's keys of `rows` entities from columns by stored join key; None where a join key is null.

        Raises: InvalidInput where a join key is absent, too many, or of another type.
        """
        for name in self._key_names:
            if name not in columns:
                raise InvalidInput(name, f"is a join key of feature view {self.view.name!r} and is missing")
        for name in columns:
            if name not in self._key_names and name != DUMMY_ENTITY[0]:
                raise InvalidInput(name, f"is not a join key of feature view {self.view.name!r}")
        plain = [plain_values(n, kind, columns[n]) for n, kind in zip(self._key_names, self._key_types, strict=True)]
        return self._key_encoder.encode_rows(plain, rows)  # type: ignore[arg-type]

    def learn(self, schema: Schema) -> None:
        """Add an older schema, so that its rows can be decoded."""
        self._few.learn(schema)
        self._many.learn(schema)

    def decode(self, rows: Sequence[bytes | None], at: UtcMicros) -> DecodedView:
        """The values and statuses of the rows at `at` (microseconds). Raises: CorruptRow, UnknownSchema."""
        rule, plain = self.view.rule, self._few.read(rows) if len(rows) <= FEW else None
        if plain is None:
            read = self._many.read(rows)
            statuses = rule.status(read.event, read.created, read.deleted, np.int64(at)).tolist()
            return self._admitted(plain_rows(read), statuses)
        times = zip(plain.event, plain.created, plain.deleted, strict=True)
        return self._admitted(plain, [rule.code(event, created, deleted, at) for event, created, deleted in times])

    def _admitted(self, rows: PlainRows, statuses: list[int]) -> DecodedView:
        """The rows, whose values count where the status is PRESENT. Raises: CorruptRow."""
        columns: Sequence[Sequence[Datum | None]] = rows.columns
        if any(statuses):
            columns = [[None if s else value for s, value in zip(statuses, c, strict=True)] for c in columns]
        values: list[Sequence[Datum | Value | None]] = [
            self._messages(field, column) if kind.encoding == "value" else column
            for field, kind, column in zip(self.features, self.types, columns, strict=True)
        ]
        return DecodedView(rows.event, statuses, values)

    def _messages(self, field: Field, column: Sequence[object]) -> list[Datum | Value | None]:
        try:
            return [None if data is None else Value.FromString(data) for data in column]
        except DecodeError as error:
            raise CorruptRow(
                self.view.stored_as, f"the value of {field.name} is not a valid protobuf message of Feast"
            ) from error
