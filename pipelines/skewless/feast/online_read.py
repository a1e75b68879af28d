"""What several views say of their entities at one instant, asked of the store in one trip.

Held by tests/feast/test_online_interface.py.
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
from skewless.contract.storage.entity_key import told_key
from skewless.contract.storage.lookup import HashLookup, Reply
from skewless.contract.timestamps import UtcMicros, from_micros
from skewless.feast.view_decoder import DecodedView, ViewDecoder
from skewless.online.store.store import SyncOnlineStore

Read = tuple[datetime | None, dict[str, Value] | None]
Keys = Sequence[bytes | None]
_STATUSES = {
    FeatureStatus.PRESENT: FieldStatus.PRESENT,
    FeatureStatus.NULL: FieldStatus.NULL_VALUE,
    FeatureStatus.NOT_FOUND: FieldStatus.NOT_FOUND,
    FeatureStatus.STALE: FieldStatus.OUTSIDE_MAX_AGE,
}


@dataclass(frozen=True, slots=True)
class OnlineViewRead:
    """A view's reading. `refused`: why the rows of some entities cannot be read; they read as not found."""

    reading: DecodedView
    refused: Mapping[int, CorruptRow]

    def reads(self, names: Sequence[str]) -> list[Read]:
        """As `online_read` gives them: (None, None) for an entity that is not found."""
        reads: list[Read] = []
        for row, status in enumerate(self.reading.view_status.tolist()):
            if status == FeatureStatus.NOT_FOUND:
                reads.append((None, None))
            else:
                values = {name: column[row] for name, column in zip(names, self.reading.values, strict=True)}
                reads.append((from_micros(int(self.reading.event[row])), values))
        return reads

    def statuses(self) -> list[list[int]]:
        """Feast's status of each feature, row by row; INVALID where a row cannot be read."""
        found: list[list[int]] = []
        for statuses in self.reading.statuses:
            told = [int(_STATUSES[FeatureStatus(status)]) for status in statuses.tolist()]
            for row in self.refused:
                told[row] = int(FieldStatus.INVALID)
            found.append(told)
        return found


def readings(
    store: SyncOnlineStore, project: str, asked: Sequence[tuple[ViewDecoder, Keys]], at: UtcMicros
) -> list[OnlineViewRead]:
    """One trip for all, each distinct entity once. A view that is being removed has no rows. Raises: RedisUnreachable."""
    marks = tuple(dict.fromkeys(removal_field(read.view.stored_as) for read, _ in asked))
    wanted = {(key, read.field): None for read, keys in asked for key in keys if key is not None}
    lookups = [HashLookup(catalog_key(project), marks), *(HashLookup(key, (field,)) for key, field in wanted)]
    noted, *replies = store.read_each(lookups)
    if isinstance(noted, CorruptRow):
        raise noted
    removing = {mark for mark, entry in zip(marks, noted, strict=True) if entry is not None}
    found = dict(zip(wanted, replies, strict=True))
    return [
        _reading(store, read, keys, {} if removal_field(read.view.stored_as) in removing else found, at)
        for read, keys in asked
    ]


def _reading(
    store: SyncOnlineStore,
    read: ViewDecoder,
    keys: Keys,
    found: Mapping[tuple[bytes, bytes], Reply | CorruptRow],
    at: UtcMicros,
) -> OnlineViewRead:
    """Looks a schema up that the view no longer has; each of them at most once."""
    rows: list[bytes | None] = []
    refused: dict[int, CorruptRow] = {}
    for place, key in enumerate(keys):
        reply = None if key is None else found.get((key, read.field))
        if isinstance(reply, CorruptRow):
            refused[place] = reply
            reply = None
        rows.append(reply[0] if reply is not None else None)
    entities = [told_key(key or b"") for key in keys]
    # Each turn learns a schema or refuses a row.
    while True:
        try:
            return OnlineViewRead(read.reading(rows, at), refused)
        except CorruptRow:
            culprits = corrupt(lambda some: read.reading(some, at), rows, entities)
            if not culprits:
                raise
            refused |= culprits
        except UnknownSchema as error:
            schema = store.schema(bytes.fromhex(error.fingerprint))
            if schema is None:
                refused |= unlisted(error, rows, entities)
            else:
                read.learn(schema)
        rows = [None if place in refused else row for place, row in enumerate(rows)]
