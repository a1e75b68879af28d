"""The online store as the offline steps use it: a synchronous shell around the contract's rows, keys and write protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from redis.exceptions import ResponseError

from skewless.contract.columns import Schema
from skewless.contract.errors import CorruptRow
from skewless.contract.plan import DUMMY_ENTITY, PlanView
from skewless.contract.storage import catalog, write_protocol
from skewless.contract.storage.completeness import StoredView
from skewless.contract.storage.entity_key import key_head, parse_key, told_key
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode, parse_expiry
from skewless.contract.storage.lookup import HashLookup, Reply
from skewless.contract.storage.newest_wins import DEADLINES, DISCARD, HELD, SCRIPT
from skewless.contract.storage.push_target import PushTarget, target_entry
from skewless.contract.storage.write_policy import WritePolicy
from skewless.contract.storage.write_protocol import (
    ROWS_A_CALL,
    Exchange,
    RedisCommand,
    WriteReply,
    WrittenRows,
    row_arguments,
    row_calls,
)
from skewless.online.store.command_pipeline import CommandPipeline
from skewless.online.store.completeness import marks
from skewless.online.store.lua_pipeline import LuaPipeline
from skewless.online.store.redis_errors import UnwritableKeys, mapped
from skewless.online.store.redis_protocol import SyncRedis, is_cluster

Item = TypeVar("Item")
Result = TypeVar("Result")
_CALLS_A_TRIP = 16
_LOOKUPS_A_TRIP = 2_000
_KEYS_A_SCAN = 1_000
_KEYS_A_BATCH = 50_000


class SyncOnlineStore:
    """Writes packed rows of one project under newest-wins, and reads them back. `client` is a connected Redis."""

    def __init__(self, client: SyncRedis, project: str) -> None:
        self._client = client
        self._project = project
        self._commands = CommandPipeline(client)

    @property
    def client(self) -> SyncRedis:
        """The connection."""
        return self._client

    def prepare(self, view: PlanView) -> WritePolicy:
        """Make rows of the view's schema readable, and ask how they are to be written; call it before writing them.

        Raises: RemovalUnfinished, StoreFull, StoreReadOnly, RedisUnreachable.
        """
        return self._exchange(write_protocol.prepare(self._project, view), view.stored_as)

    def register(self, view: PlanView, start: datetime | None, end: datetime, *, refill: bool) -> datetime:
        """Put the view's definition into the catalog: all of its rows that arrived up to `end` are those that it means.

        See `write_protocol.register`. Raises: RowsLost, RemovalUnfinished, RedisUnreachable, StoreFull, StoreReadOnly.
        """
        noted = marks(self._client, self._project)
        exchange = write_protocol.register(self._project, view, start, end, anew=refill, marks=noted)
        return self._exchange(exchange, view.stored_as)

    def introduce(self, view: PlanView) -> None:
        """Put the view's definition into the catalog if that knows none: some of its rows are there."""
        self._exchange(write_protocol.introduce(self._project, view), view.stored_as)

    def accept(self, targets: Sequence[PushTarget]) -> None:
        """Tell servers where pushed rows of these views go."""
        entries = {name: entry for target in targets for name, entry in target_entry(target).items()}
        if entries:
            with mapped(self._client):
                self._client.hset(catalog.catalog_key(self._project), mapping=entries)

    def stored_views(self, views: Sequence[PlanView]) -> dict[str, StoredView]:
        """What the store says of each view, by its stored name."""
        names = [view.stored_as for view in views]
        exchange = write_protocol.stored_views(self._project, names, marks(self._client, self._project))
        return dict(zip(names, self._exchange(exchange), strict=True))

    def expiry(self) -> ExpiryMode:
        """How rows go that are long out of their ttl. Raises: RedisUnreachable."""
        with mapped(self._client):
            return parse_expiry(self._client.hget(catalog.catalog_key(self._project), EXPIRY))

    def choose(self, expiry: ExpiryMode) -> None:
        """Tell all writers how rows go. Raises: StoreFull, StoreReadOnly, RedisUnreachable."""
        with mapped(self._client):
            self._client.hset(catalog.catalog_key(self._project), EXPIRY, expiry.encode())

    def write(
        self,
        view: PlanView,
        keys: Sequence[bytes] | pa.BinaryArray,
        rows: Sequence[bytes] | pa.BinaryArray,
        horizon: bytes | None = None,
    ) -> int:
        """Write a row for each key where it wins; how many did. Returns after Redis acknowledged all of them.

        `horizon` is what `WritePolicy` says. What lies beyond it wins, and is gone at once.
        Raises: StoreFull, StoreReadOnly, RedisUnreachable; any part may then have been written, and writing all again
            is harmless. UnwritableKeys: all other rows were written.
        """
        if len(keys) != len(rows):
            raise ValueError(f"there are {len(keys)} keys and {len(rows)} rows")
        written = 0
        others: list[bytes] = []
        with mapped(self._client, view.stored_as):
            for some in self._written(view, keys, rows, horizon):
                written += some.won
                others += some.no_hashes
        if others:
            raise UnwritableKeys(view.stored_as, tuple(map(told_key, others)))
        return written

    def discard(self, view: PlanView, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """Remove these rows, each only if it is still what its entity has; how many were.

        Raises: StoreReadOnly, RedisUnreachable; any part may then be gone.
        """
        with mapped(self._client, view.stored_as):
            if is_cluster(self._client):
                field, pairs = view.stored_as.encode(), zip(keys, rows, strict=True)
                gone = self._commands.run(
                    [RedisCommand(key, ("EVAL", DISCARD, 1, key, field, row)) for key, row in pairs]
                )
                return sum(msgspec.convert(gone, list[int]))
            some, theirs = pa.array(keys, pa.binary()), pa.array(rows, pa.binary())
            answers = LuaPipeline(self._client, DISCARD).run(some, [view.stored_as.encode()], theirs, ROWS_A_CALL)
            return sum(msgspec.convert([reply for _, reply in answers], list[int]))

    def set_deadlines(self, view: PlanView, keys: Sequence[bytes], horizon: bytes) -> None:
        """Give the rows that these entities have their deadlines, by the horizon as in `write`; none where it is empty.

        Raises: StoreFull, StoreReadOnly, RedisUnreachable; any part may then be done.
        """
        first = (view.stored_as.encode(), horizon)
        with mapped(self._client, view.stored_as):
            if is_cluster(self._client):
                self._commands.run([RedisCommand(key, ("EVAL", DEADLINES, 1, key, *first)) for key in keys])
            else:
                list(LuaPipeline(self._client, DEADLINES).run(pa.array(keys, pa.binary()), first, None, ROWS_A_CALL))

    def stored_rows(self, view: PlanView, keys: pa.BinaryArray) -> pa.BinaryArray:
        """The row that each entity has; null where it has none, or its key is no hash. Raises: RedisUnreachable."""
        field = view.stored_as.encode()
        if is_cluster(self._client):
            replies = self.read_each([HashLookup(key, (field,)) for key in keys.to_pylist()])
            return pa.array([None if isinstance(one, CorruptRow) else one[0] for one in replies], pa.binary())
        with mapped(self._client):
            answers = LuaPipeline(self._client, HELD).run(keys, [field], None, ROWS_A_CALL)
            parts = [pa.array(rows, pa.binary()) for _, rows in answers]
        return pa.concat_arrays(parts) if parts else pa.array([], pa.binary())

    def keys_like(self, view: PlanView) -> Iterator[pa.BinaryArray]:
        """Keys that may be of the view's kind of entity, some at a time, each at least once: all that are, and some of
        other projects (see `owns`). Raises: RedisUnreachable.
        """
        head, tail = self._head(view), self._project.encode()
        with mapped(self._client):
            for some in _batches(self._client.scan_iter(count=_KEYS_A_SCAN), _KEYS_A_BATCH):
                keys = pa.array(some, pa.binary())
                yield keys.filter(pc.and_(pc.starts_with(keys, head), pc.ends_with(keys, tail)))

    def _head(self, view: PlanView) -> bytes:
        return key_head([key.key for key in view.join_keys] or [DUMMY_ENTITY[0]])

    def owns(self, key: bytes) -> bool:
        """Whether a key is one of this project's entities."""
        parsed = parse_key(key)
        return parsed is not None and parsed.project == self._project

    def read(self, lookups: Sequence[HashLookup]) -> list[Reply]:
        """The replies to a batch of lookups, in order. Raises: CorruptRow, RedisUnreachable."""
        replies = []
        for reply in self.read_each(lookups):
            if isinstance(reply, CorruptRow):
                raise reply
            replies.append(reply)
        return replies

    def read_each(self, lookups: Sequence[HashLookup]) -> list[Reply | CorruptRow]:
        """`read` that gives the error of an entity whose key is no hash in its place. Raises: RedisUnreachable."""
        replies: list[Reply | CorruptRow] = []
        with mapped(self._client):
            for some in _batches(lookups, _LOOKUPS_A_TRIP):
                pipe = self._client.pipeline(transaction=False)
                for lookup in some:
                    pipe.hmget(lookup.key, list(lookup.fields))
                answers = pipe.execute(raise_on_error=False)
                replies += [_reply(lookup, answer) for lookup, answer in zip(some, answers, strict=True)]
        return replies

    def schema(self, fingerprint: bytes) -> Schema | None:
        """The row schema with this fingerprint, if the catalog lists it."""
        with mapped(self._client):
            found = self._client.hget(catalog.catalog_key(self._project), catalog.schema_field(fingerprint))
        return catalog.parse_schema(found) if found else None

    def _exchange(self, exchange: Exchange[Result], view: str = "") -> Result:
        """Run an exchange of the write protocol; its result."""
        with mapped(self._client, view):
            try:
                commands = next(exchange)
                while True:
                    commands = exchange.send(self._commands.run(commands))
            except StopIteration as end:
                result: Result = end.value
        return result

    def _written(
        self,
        view: PlanView,
        keys: Sequence[bytes] | pa.BinaryArray,
        rows: Sequence[bytes] | pa.BinaryArray,
        horizon: bytes | None,
    ) -> Iterator[WrittenRows]:
        """Write the rows; what became of them, some at a time."""
        if is_cluster(self._client):
            pairs = [*zip(_as_bytes(keys), _as_bytes(rows), strict=True)]
            for calls in _batches(
                row_calls(view, pairs, horizon, self._client.keyslot, most=ROWS_A_CALL), _CALLS_A_TRIP
            ):
                yield WrittenRows.of(calls, self._commands.run([call.command for call in calls]))
            return
        some = keys if isinstance(keys, pa.Array) else pa.array(keys, pa.binary())
        theirs = rows if isinstance(rows, pa.Array) else pa.array(rows, pa.binary())
        for start, reply in LuaPipeline(self._client, SCRIPT).run(
            some, row_arguments(view, horizon), theirs, ROWS_A_CALL
        ):
            won, places = WriteReply.parse(reply)
            yield WrittenRows(won, tuple(some[start + place].as_py() for place in places))


def _as_bytes(values: Sequence[bytes] | pa.BinaryArray) -> Sequence[bytes]:
    found: Sequence[bytes] = values.to_pylist() if isinstance(values, pa.Array) else values
    return found


def _reply(lookup: HashLookup, answer: object) -> Reply | CorruptRow:
    """Raises: RedisError for what is not the entity's fault."""
    if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
        views = ", ".join(field.decode() for field in lookup.fields)
        return CorruptRow(views, "its key holds something else than a hash", told_key(lookup.key))
    if isinstance(answer, Exception):
        raise answer
    return msgspec.convert(answer, list[bytes | None])


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
