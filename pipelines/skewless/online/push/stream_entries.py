"""A project's stream of events in Redis: entries to push, the consumer group that reads them, and the dead letters.

    {skewless:stream:PROJECT}         entries with the fields `view` and `rows` (a row or an array of rows, in JSON)
    {skewless:stream:PROJECT}:dead    entries that cannot be pushed, with `reason`, `entry` and `deliveries`

The braces keep both in one hash slot, so that an entry moves from one to the other in one step.

Held by tests/online/push/test_stream.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import ResponseError

from skewless.online.store.redis_errors import mapped
from skewless.online.store.redis_protocol import RedisPipeline, RedisValue, StreamPairs, SyncRedis

GROUP = "skewless"
_PENDING_A_TRIP = 10_000
_Nested = tuple[bytes, dict[bytes, bytes]] | StreamPairs


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry of the stream. `deliveries` is how often it was delivered to a consumer."""

    id: bytes
    fields: Mapping[bytes, bytes]
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """Progress of the consumers: entries in the stream, not yet delivered, delivered and not acknowledged, and dead letters."""

    length: int
    lag: int
    pending: int
    consumers: int
    dead: int

    def __str__(self) -> str:
        return (
            f"{self.length:,} entries, {self.lag:,} not yet read, {self.pending:,} under way, "
            f"{self.consumers} consumers, {self.dead:,} dead letters"
        )


class StreamEntries:
    """The stream of a project for the consumer `name` of its group. Every call may raise RedisUnreachable, StoreFull or
    StoreReadOnly; acknowledged entries are deleted unless `keep`.
    """

    def __init__(self, client: SyncRedis, project: str, name: str, *, keep: bool = False) -> None:
        self.key = f"{{skewless:stream:{project}}}"
        self.dead = f"{self.key}:dead"
        self._client = client
        self._name, self._keep = name, keep

    def open(self) -> None:
        """Create the stream and its group, from the stream's first entry on, if they are missing."""
        with mapped(self._client, self.key):
            try:
                self._client.xgroup_create(self.key, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def add(self, view: str, rows: bytes) -> bytes:
        """Append an entry; its id."""
        with mapped(self._client, self.key):
            return self._client.xadd(self.key, {"view": view, "rows": rows})

    def read(self, count: int, block_ms: int | None) -> list[StreamEntry]:
        """New entries, at most `count`; waits `block_ms` milliseconds for the first one (None: does not wait)."""
        with mapped(self._client, self.key):
            answer = self._client.xreadgroup(GROUP, self._name, {self.key: ">"}, count=count, block=block_ms)
        streams: Iterable[Sequence[_Nested]] = (
            answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or ()]
        )
        return [StreamEntry(entry_id, fields) for entries in streams for entry_id, fields in _flat(entries)]

    def claim(self, count: int, idle_ms: int) -> list[StreamEntry]:
        """Claim entries that were delivered `idle_ms` ago or earlier and are not acknowledged, at most `count`."""
        with mapped(self._client, self.key):
            _, entries, *_ = self._client.xautoclaim(self.key, GROUP, self._name, idle_ms, count=count)
            claimed = [(entry_id, fields) for entry_id, fields in entries if fields]
            if not claimed:
                return []
            first, last = claimed[0][0], claimed[-1][0]
            pending = self._client.xpending_range(self.key, GROUP, first, last, len(entries), self._name)
        times = {entry_id["message_id"]: entry_id["times_delivered"] for entry_id in pending}
        return [StreamEntry(entry_id, fields, times.get(entry_id, 1)) for entry_id, fields in claimed]

    def still_pending(self, entries: Sequence[StreamEntry]) -> list[StreamEntry]:
        """Those of the entries, which are in the stream's order, that are still pending for this consumer: not those that
        another one claimed meanwhile or that were erased. If the group is gone, with the whole stream, all of them.
        """
        if not entries:
            return []
        pending: set[bytes] = set()
        start, last = entries[0].id, entries[-1].id
        with mapped(self._client, self.key):
            try:
                while infos := self._client.xpending_range(self.key, GROUP, start, last, _PENDING_A_TRIP, self._name):
                    pending.update(info["message_id"] for info in infos)
                    start = b"(" + infos[-1]["message_id"]
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                return list(entries)
        return [entry for entry in entries if entry.id in pending]

    def acknowledge(self, entries: Sequence[StreamEntry]) -> None:
        """Acknowledge entries, which are then not delivered again."""
        if entries:
            with mapped(self._client, self.key):
                self._finish(self._client.pipeline(), [entry.id for entry in entries]).execute()

    def dead_letter(self, entry: StreamEntry, reason: str) -> None:
        """Move an entry to the dead letters, in one transaction."""
        details: dict[bytes, RedisValue] = {b"reason": reason, b"entry": entry.id, b"deliveries": entry.deliveries}
        with mapped(self._client, self.key):
            pipe = self._client.pipeline()
            pipe.xadd(self.dead, {**entry.fields, **details})
            self._finish(pipe, [entry.id]).execute()

    def leave(self) -> None:
        """Remove this consumer from the group, if it has no pending entries."""
        with mapped(self._client, self.key):
            pending = {
                consumer["name"]: consumer["pending"] for consumer in self._client.xinfo_consumers(self.key, GROUP)
            }
            if pending.get(self._name.encode()) == 0:
                self._client.xgroup_delconsumer(self.key, GROUP, self._name)

    def status(self) -> StreamStatus:
        """The progress of the consumers; zeros before the first one."""
        with mapped(self._client, self.key):
            groups = self._client.xinfo_groups(self.key) if self._client.exists(self.key) else []
            length, dead = self._client.xlen(self.key), self._client.xlen(self.dead)
        group_info = next((group for group in groups if group["name"] == GROUP.encode()), None)
        if group_info is None:
            return StreamStatus(length, length, 0, 0, dead)
        return StreamStatus(length, group_info.get("lag") or 0, group_info["pending"], group_info["consumers"], dead)

    def _finish(self, pipe: RedisPipeline, ids: Sequence[bytes]) -> RedisPipeline:
        pipe.xack(self.key, GROUP, *ids)
        if not self._keep:
            pipe.xdel(self.key, *ids)
        return pipe


def _flat(entries: Sequence[_Nested]) -> StreamPairs:
    """A flat list of entries; RESP3 nests them once more."""
    return [pair for entry in entries for pair in (entry if isinstance(entry, list) else [entry])]
