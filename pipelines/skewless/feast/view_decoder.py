"""Reads one feature view for Feast: encodes join keys as keys of the store, decodes packed rows to Feast's values.

Held by tests/feast/test_online_interface.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.columns import Schema
from skewless.contract.errors import CorruptRow, InvalidInput
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.plan import DUMMY_ENTITY, Field, PlanView
from skewless.contract.storage.entity_key import EntityKeyEncoder
from skewless.contract.storage.packed_row import RowReader
from skewless.contract.timestamp_arrays import UtcMicrosArray
from skewless.contract.timestamps import UtcMicros
from skewless.contract.value_types import value_type
from skewless.feast.proto_values import plain_values, to_protos


@dataclass(frozen=True, slots=True)
class DecodedView:
    """A view's rows of n entities: event times (MISSING without a row), `FeatureStatus` and value of each feature."""

    event: UtcMicrosArray
    view_status: NDArray[np.uint8]
    statuses: tuple[NDArray[np.uint8], ...]
    values: tuple[list[Value], ...]


class ViewDecoder:
    """Compiled from a view and the names of the requested features."""

    def __init__(self, project: str, view: PlanView, features: Sequence[str]) -> None:
        types = {field.name: field for field in view.fields}
        self.view = view
        self.field = view.stored_as.encode()
        self._features: tuple[Field, ...] = tuple(types[name] for name in features)
        self._reader = RowReader(view.stored_as, self._features, [view.fields])
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
        self._reader.learn(schema)

    def decode(self, rows: Sequence[bytes | None], at: UtcMicros) -> DecodedView:
        """The values and statuses of the rows at `at` (microseconds). Raises: CorruptRow, UnknownSchema."""
        decoded = self._reader.read(rows)
        status = self.view.rule.status(decoded.event, decoded.created, decoded.deleted, np.int64(at))
        admitted = AdmittedRows(decoded, status)
        indices = range(len(self._features))
        return DecodedView(
            decoded.event,
            status,
            tuple(admitted.feature_status(index) for index in indices),
            tuple(self._protos(index, admitted) for index in indices),
        )

    def _protos(self, index: int, admitted: AdmittedRows) -> list[Value]:
        field = self._features[index]
        try:
            return to_protos(value_type(field.dtype), admitted.values(index))
        except DecodeError as error:
            raise CorruptRow(
                self.view.stored_as, f"the value of {field.name} is not a valid protobuf message of Feast"
            ) from error
