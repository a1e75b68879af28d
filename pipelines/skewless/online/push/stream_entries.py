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
from skewless.online.store.redis_protocol import RedisPipeline, StreamPairs, SyncRedis, Word

GROUP = "skewless"
_PENDING_A_TRIP = 10_000
_Nested = tuple[bytes, dict[bytes, bytes]] | StreamPairs


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry of the stream. `deliveries` is how often it was handed to a consumer."""

    id: bytes
    fields: Mapping[bytes, bytes]
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How far the consumers are: entries in the stream, not yet handed out, handed out and not done, and dead."""

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
    """The stream of a project, as the consumer `name` of its group sees it. Every call may raise RedisUnreachable,
    StoreFull or StoreReadOnly; entries that are done are deleted unless `keep`.
    """

    def __init__(self, client: SyncRedis, project: str, name: str, *, keep: bool = False) -> None:
        self.key = f"{{skewless:stream:{project}}}"
        self.dead = f"{self.key}:dead"
        self._client = client
        self._name, self._keep = name, keep

    def open(self) -> None:
        """Make the stream and its group, from the stream's first entry on, where they are missing."""
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
        """New entries, at most `count`; waits for the first one (None: does not)."""
        with mapped(self._client, self.key):
            answer = self._client.xreadgroup(GROUP, self._name, {self.key: ">"}, count=count, block=block_ms)
        streams: Iterable[Sequence[_Nested]] = (
            answer.values() if isinstance(answer, dict) else [entries for _, entries in answer or ()]
        )
        return [StreamEntry(one, fields) for entries in streams for one, fields in _flat(entries)]

    def claim(self, count: int, idle_ms: int) -> list[StreamEntry]:
        """Entries that a consumer was handed `idle_ms` ago or earlier and that are not done, at most `count`."""
        with mapped(self._client, self.key):
            _, found, *_ = self._client.xautoclaim(self.key, GROUP, self._name, idle_ms, count=count)
            claimed = [(one, fields) for one, fields in found if fields]
            if not claimed:
                return []
            first, last = claimed[0][0], claimed[-1][0]
            pending = self._client.xpending_range(self.key, GROUP, first, last, len(found), self._name)
        times = {one["message_id"]: one["times_delivered"] for one in pending}
        return [StreamEntry(one, fields, times.get(one, 1)) for one, fields in claimed]

    def held(self, entries: Sequence[StreamEntry]) -> list[StreamEntry]:
        """Those of some entries, in the stream's order, that are this consumer's to do still: not what another one
        claimed meanwhile, nor what an erasure took. A stream that lost its group lost more than that; then all of them.
        """
        if not entries:
            return []
        ours: set[bytes] = set()
        start, last = entries[0].id, entries[-1].id
        with mapped(self._client, self.key):
            try:
                while some := self._client.xpending_range(self.key, GROUP, start, last, _PENDING_A_TRIP, self._name):
                    ours.update(one["message_id"] for one in some)
                    start = b"(" + some[-1]["message_id"]
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                return list(entries)
        return [entry for entry in entries if entry.id in ours]

    def done(self, entries: Sequence[StreamEntry]) -> None:
        """Nobody need push these again."""
        if entries:
            with mapped(self._client, self.key):
                self._finish(self._client.pipeline(), [entry.id for entry in entries]).execute()

    def bury(self, entry: StreamEntry, reason: str) -> None:
        """Put an entry among the dead letters, in the step in which it leaves the stream."""
        why: dict[bytes, Word] = {b"reason": reason, b"entry": entry.id, b"deliveries": entry.deliveries}
        with mapped(self._client, self.key):
            pipe = self._client.pipeline()
            pipe.xadd(self.dead, {**entry.fields, **why})
            self._finish(pipe, [entry.id]).execute()

    def leave(self) -> None:
        """Take this consumer out of the group, if nothing of it is under way."""
        with mapped(self._client, self.key):
            held = {one["name"]: one["pending"] for one in self._client.xinfo_consumers(self.key, GROUP)}
            if held.get(self._name.encode()) == 0:
                self._client.xgroup_delconsumer(self.key, GROUP, self._name)

    def status(self) -> StreamStatus:
        """How far the consumers are; all zero before the first one."""
        with mapped(self._client, self.key):
            groups = self._client.xinfo_groups(self.key) if self._client.exists(self.key) else []
            length, dead = self._client.xlen(self.key), self._client.xlen(self.dead)
        ours = next((group for group in groups if group["name"] == GROUP.encode()), None)
        if ours is None:
            return StreamStatus(length, length, 0, 0, dead)
        return StreamStatus(length, ours.get("lag") or 0, ours["pending"], ours["consumers"], dead)

    def _finish(self, pipe: RedisPipeline, ids: Sequence[bytes]) -> RedisPipeline:
        pipe.xack(self.key, GROUP, *ids)
        if not self._keep:
            pipe.xdel(self.key, *ids)
        return pipe


def _flat(entries: Sequence[_Nested]) -> StreamPairs:
    """Entries as they come; RESP3 nests them once more."""
    return [pair for one in entries for pair in (one if isinstance(one, list) else [one])]
