"""Reads several feature views for the same entities at one instant, in one round trip to the store.

Held by tests/feast/online/test_online_interface.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value
from skewless.contract.admission import FeatureStatus
from skewless.contract.errors import CorruptRow, UnknownSchema
from skewless.contract.storage.catalog import catalog_key, removal_field
from skewless.contract.storage.corrupt_rows import corrupt, unlisted
from skewless.contract.storage.entity_key import key_text
from skewless.contract.storage.lookup import HashLookup, Reply
from skewless.contract.timestamps import UtcMicros, from_micros
from skewless.contract.value_types import ValueType
from skewless.feast.online.view_decoder import DecodedView, ViewDecoder
from skewless.online.store.store import SyncOnlineStore

Read = tuple[datetime | None, dict[str, Value] | None]
Keys = Sequence[bytes | None]
_STATUSES = {
    int(FeatureStatus.PRESENT): int(FieldStatus.PRESENT),
    int(FeatureStatus.NULL): int(FieldStatus.NULL_VALUE),
    int(FeatureStatus.NOT_FOUND): int(FieldStatus.NOT_FOUND),
    int(FeatureStatus.STALE): int(FieldStatus.OUTSIDE_MAX_AGE),
}


@dataclass(frozen=True, slots=True)
class OnlineViewRead:
    """One view's rows, with the type of each feature. `corrupt` has the error of each row that cannot be decoded; such rows are
    returned as not found.
    """

    types: Sequence[ValueType]
    decoded: DecodedView
    corrupt: Mapping[int, CorruptRow]

    def feast_rows(self, names: Sequence[str]) -> list[Read]:
        """The rows as `online_read` returns them: (None, None) for an entity that is not found."""
        reads: list[Read] = []
        columns = self.decoded.messages(self.types)
        for row, status in enumerate(self.decoded.view_status):
            if status == FeatureStatus.NOT_FOUND:
                reads.append((None, None))
            else:
                values = {name: column[row] for name, column in zip(names, columns, strict=True)}
                reads.append((from_micros(self.decoded.event[row]), values))
        return reads

    def statuses(self) -> list[list[int]]:
        """Feast's statuses of each feature, one per row; INVALID where a row cannot be decoded."""
        columns: list[list[int]] = []
        for index in range(len(self.types)):
            column = [_STATUSES[status] for status in self.decoded.feature_status(index)]
            for row in self.corrupt:
                column[row] = int(FieldStatus.INVALID)
            columns.append(column)
        return columns


def read_views(
    store: SyncOnlineStore, project: str, requests: Sequence[tuple[ViewDecoder, Keys]], at: UtcMicros
) -> list[OnlineViewRead]:
    """One round trip for all views, each distinct entity once. A view that is being removed has no rows. Raises: RedisUnreachable."""
    marks = tuple(dict.fromkeys(removal_field(decoder.view.stored_as) for decoder, _ in requests))
    wanted = {(key, decoder.field): None for decoder, keys in requests for key in keys if key is not None}
    lookups = [HashLookup(catalog_key(project), marks), *(HashLookup(key, (field,)) for key, field in wanted)]
    marked, *replies = store.read_each(lookups)
    if isinstance(marked, CorruptRow):
        raise marked
    removing = {mark for mark, entry in zip(marks, marked, strict=True) if entry is not None}
    stored = dict(zip(wanted, replies, strict=True))
    return [
        _read_view(store, decoder, keys, {} if removal_field(decoder.view.stored_as) in removing else stored, at)
        for decoder, keys in requests
    ]


def _read_view(
    store: SyncOnlineStore,
    decoder: ViewDecoder,
    keys: Keys,
    stored: Mapping[tuple[bytes, bytes], Reply | CorruptRow],
    at: UtcMicros,
) -> OnlineViewRead:
    """Decode one view's rows. Schemas that the view no longer has are looked up, each at most once."""
    values: list[bytes | None] = []
    errors: dict[int, CorruptRow] = {}
    for row, key in enumerate(keys):
        reply = None if key is None else stored.get((key, decoder.field))
        if isinstance(reply, CorruptRow):
            errors[row] = reply
            reply = None
        values.append(reply[0] if reply is not None else None)
    # Each pass learns a schema or sets a corrupt row aside.
    while True:
        try:
            return OnlineViewRead(decoder.types, decoder.decode(values, at), errors)
        except CorruptRow:
            culprits = corrupt(lambda some: decoder.decode(some, at), values, _entities(keys))
            if not culprits:
                raise
            errors |= culprits
        except UnknownSchema as error:
            schema = store.schema(bytes.fromhex(error.fingerprint))
            if schema is None:
                errors |= unlisted(error, values, _entities(keys))
            else:
                decoder.learn(schema)
        values = [None if row in errors else value for row, value in enumerate(values)]


def _entities(keys: Keys) -> list[str]:
    return [key_text(key or b"") for key in keys]
