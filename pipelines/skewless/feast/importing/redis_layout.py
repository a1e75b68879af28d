"""Feast's rows in Redis: a hash for each entity, in which a view has a field for each feature, named by the murmur hash of
`view:feature`, and the field `_ts:view` with its event time.

Our rows may be in the same hashes, under the names of their views. They are never read or removed here.

Source: `feast.infra.online_stores.redis` of Feast 0.67.
Held by tests/feast/importing/test_import_rows.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from feast.infra.online_stores.helpers import _mmh3
from skewless.contract.storage.write_protocol import RedisCommand
from skewless.contract.timestamps import SECOND_US, UtcMicros
from skewless.feast.importing.former_rows import FeastKeyParser, FeastViews, FormerRow, FormerStoreUnreachable, RowMark
from skewless.online.store.command_pipeline import CommandPipeline
from skewless.online.store.connection import RedisUnreachable, address
from skewless.online.store.redis_errors import StoreReadOnly, mapped
from skewless.online.store.redis_protocol import Hash, SyncRedis

_TIME = b"_ts:"
_KEYS_A_SCAN = 1_000
_KEYS_A_TRIP = 500
_GLOB = b"*?[]^\\"
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years 1 and 9999, which is what Feast's times can be."""
_REMOVE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1], unpack(ARGV, 3))
"""
"""KEYS: an entity's hash. ARGV: a view's time field, the time it had, the fields of its features. Nothing is removed where
another row was written since. Returns how many fields were removed.
"""


class FeastRedisRows:
    """The rows of a project in the Redis of `client`. `own_fields` are fields of ours in the same hashes."""

    def __init__(
        self, client: SyncRedis, project: str, views: FeastViews, keys: FeastKeyParser, own_fields: Collection[bytes]
    ) -> None:
        self._client, self._project, self._keys = client, project, keys
        own = frozenset(own_fields)
        hashed = {_mmh3(f"{view}:{name}"): (view, name) for view, names in views.items() for name in names}
        self._features = {field: feature for field, feature in hashed.items() if field not in own}
        self._fields: dict[str, list[bytes]] = defaultdict(list)
        for field, (view, _) in self._features.items():
            self._fields[view].append(field)

    def size(self) -> int:
        """The keys of the server, of whatever kind. Raises: FormerStoreUnreachable."""
        with self._reached():
            return self._client.dbsize()

    def batches(self) -> Iterator[list[FormerRow]]:
        """All rows; a key may come again while the server moves it. Raises: FormerStoreUnreachable."""
        pattern = b"*" + _literal(self._project.encode())
        with self._reached():
            keys = self._client.scan_iter(match=pattern, count=_KEYS_A_SCAN, _type="HASH")
            while some := list(islice(keys, _KEYS_A_TRIP)):
                pipe = self._client.pipeline(transaction=False)
                for key in some:
                    pipe.execute_command("HGETALL", key)
                hashes = msgspec.convert(pipe.execute(), list[Hash])
                yield [row for key, fields in zip(some, hashes, strict=True) for row in self._rows(key, fields)]

    def remove(self, view: str, rows: Sequence[RowMark]) -> int:
        """Remove the view's time and features from these hashes; a hash that is empty then is gone.

        Raises: FormerStoreUnreachable.
        """
        time, features = _TIME + view.encode(), self._fields[view]
        removed = 0
        with self._reached():
            for start in range(0, len(rows), _KEYS_A_TRIP):
                commands = [
                    RedisCommand(row.place, ("EVAL", _REMOVE, 1, row.place, time, row.stamp, *features))
                    for row in rows[start : start + _KEYS_A_TRIP]
                ]
                replies = CommandPipeline(self._client).run(commands)
                removed += sum(1 for reply in replies if reply)
        return removed

    def _rows(self, key: bytes, fields: Hash) -> Iterator[FormerRow]:
        stamps = {
            name[len(_TIME) :].decode(errors="replace"): value
            for name, value in fields.items()
            if name.startswith(_TIME)
        }
        values: dict[str, dict[str, bytes]] = {view: {} for view in stamps}
        for field, value in fields.items():
            if field in self._features:
                view, name = self._features[field]
                values.setdefault(view, {})[name] = value
        if not values:
            return
        parsed = self._keys.parse(key)
        if parsed is not None and parsed.project != self._project:
            return  # of a project whose name ends with this one's
        for view, of_view in values.items():
            stamp = stamps.get(view, b"")
            yield FormerRow(view, key, parsed, _micros(stamp), stamp, of_view)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            with mapped(self._client):
                yield
        except RedisUnreachable as error:
            raise FormerStoreUnreachable(error.url, error.reason) from error
        except StoreReadOnly as error:
            raise FormerStoreUnreachable(address(self._client), "it is a replica, which takes no removals") from error


def _micros(stamp: bytes) -> UtcMicros | None:
    """An event time as Feast stores it; None where there is none."""
    if not stamp:
        return None
    try:
        time = Timestamp.FromString(stamp)
    except DecodeError:
        return None
    if not _FIRST_SECOND <= time.seconds <= _LAST_SECOND:
        return None
    return int(time.seconds) * SECOND_US + int(time.nanos) // 1_000


def _literal(text: bytes) -> bytes:
    """A text as a glob pattern that matches only itself."""
    return b"".join(b"\\" + bytes([char]) if char in _GLOB else bytes([char]) for char in text)
