"""One feature view read for Feast: from join keys to keys of the store, from packed rows to Feast's values.

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
from skewless.contract.timestamps import UtcMicros, UtcMicrosArray
from skewless.contract.value_types import value_type
from skewless.feast.proto_values import plain_values, to_protos


@dataclass(frozen=True, slots=True)
class DecodedView:
    """What a view has for n entities: event times (MISSING without a row), `Status` of each feature, its values."""

    event: UtcMicrosArray
    view_status: NDArray[np.uint8]
    statuses: tuple[NDArray[np.uint8], ...]
    values: tuple[list[Value], ...]


class ViewDecoder:
    """Compiled from a view and the names of the features that are asked for."""

    def __init__(self, project: str, view: PlanView, features: Sequence[str]) -> None:
        types = {field.name: field for field in view.fields}
        self.view = view
        self.field = view.stored_as.encode()
        self._wanted: tuple[Field, ...] = tuple(types[name] for name in features)
        self._reader = RowReader(view.stored_as, self._wanted, [view.fields])
        self._kinds = tuple(value_type(key.dtype) for key in view.join_keys)
        self._names = tuple(key.key for key in view.join_keys)
        self._keys = EntityKeyEncoder(project, self._names, [key.dtype for key in view.join_keys])

    def keys(self, columns: Mapping[str, Sequence[Value]], rows: int) -> list[bytes | None]:
        """The store's keys of `rows` entities, given by stored join key, column by column; None has a null.

        Raises: InvalidInput where a join key is absent, too many, or of another type.
        """
        for name in self._names:
            if name not in columns:
                raise InvalidInput(name, f"is a join key of feature view {self.view.name!r} and is not given")
        for name in columns:
            if name not in self._names and name != DUMMY_ENTITY[0]:
                raise InvalidInput(name, f"is no join key of feature view {self.view.name!r}")
        plain = [plain_values(n, kind, columns[n]) for n, kind in zip(self._names, self._kinds, strict=True)]
        return self._keys.encode_rows(plain, rows)  # type: ignore[arg-type]

    def learn(self, schema: Schema) -> None:
        """Make rows of an older schema readable."""
        self._reader.learn(schema)

    def reading(self, rows: Sequence[bytes | None], at: UtcMicros) -> DecodedView:
        """What the rows say at `at` (microseconds). Raises: CorruptRow, UnknownSchema."""
        found = self._reader.read(rows)
        status = self.view.rule.status(found.event, found.created, found.deleted, np.int64(at))
        admitted = AdmittedRows(found, status)
        places = range(len(self._wanted))
        return DecodedView(
            found.event,
            status,
            tuple(admitted.feature_status(place) for place in places),
            tuple(self._protos(place, admitted) for place in places),
        )

    def _protos(self, place: int, admitted: AdmittedRows) -> list[Value]:
        field = self._wanted[place]
        try:
            return to_protos(value_type(field.dtype), admitted.values(place))
        except DecodeError as error:
            raise CorruptRow(self.view.stored_as, f"the value of {field.name} is no message of Feast") from error
