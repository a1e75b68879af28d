"""The synchronous client of the online store, around the contract's rows, keys and write protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from redis.exceptions import ResponseError

from skewless.contract.columns import Schema
from skewless.contract.errors import CorruptRow
from skewless.contract.plan import DUMMY_ENTITY, Plan, PlanView
from skewless.contract.storage import catalog, write_protocol
from skewless.contract.storage.completeness import StoredView
from skewless.contract.storage.entity_key import key_head, key_text, parse_key
from skewless.contract.storage.expiry_mode import EXPIRY, ExpiryMode, parse_expiry
from skewless.contract.storage.lookup import HashLookup, Reply
from skewless.contract.storage.newest_wins import DEADLINES, DISCARD, SCRIPT, STORED_ROWS
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
from skewless.contract.timestamps import UtcMicros
from skewless.online.store.command_pipeline import CommandPipeline
from skewless.online.store.completeness import marks
from skewless.online.store.hash_reads import read_hashes
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
    """Writes packed rows of one project under newest-wins, and reads them back. `client` is connected."""

    def __init__(self, client: SyncRedis, project: str) -> None:
        self._client = client
        self._project = project
        self._commands = CommandPipeline(client)

    @property
    def client(self) -> SyncRedis:
        """The connection."""
        return self._client

    def prepare(self, view: PlanView) -> WritePolicy:
        """Publish the view's row schema and get the policy for writing its rows; call it before writing them.

        Raises: RemovalUnfinished, StoreFull, StoreReadOnly, RedisUnreachable.
        """
        return self._exchange(write_protocol.prepare(self._project, view), view.stored_as)

    def register(self, view: PlanView, start: datetime | None, end: datetime, *, refill: bool) -> datetime:
        """Put the view's definition into the catalog, as complete for all rows that arrived up to `end`.

        See `write_protocol.register`. Raises: RowsLost, RemovalUnfinished, RedisUnreachable, StoreFull, StoreReadOnly.
        """
        mark_keys = marks(self._client, self._project)
        exchange = write_protocol.register(self._project, view, start, end, anew=refill, marks=mark_keys)
        return self._exchange(exchange, view.stored_as)

    def introduce(self, view: PlanView) -> None:
        """Put the view's definition into the catalog if it has none: some of the view's rows are stored."""
        self._exchange(write_protocol.introduce(self._project, view), view.stored_as)

    def accept(self, targets: Sequence[PushTarget]) -> None:
        """Publish the push targets of these views for the servers."""
        entries = {name: entry for target in targets for name, entry in target_entry(target).items()}
        if entries:
            with mapped(self._client):
                self._client.hset(catalog.catalog_key(self._project), mapping=entries)

    def stored_views(self, views: Sequence[PlanView]) -> dict[str, StoredView]:
        """The stored definition and completeness of each view, by its stored name. Raises: RedisUnreachable."""
        names = [view.stored_as for view in views]
        exchange = write_protocol.stored_views(self._project, names, marks(self._client, self._project))
        return dict(zip(names, self._exchange(exchange), strict=True))

    def confirm(self, plan: Plan) -> None:
        """Check that the store holds every view of a plan as the plan defines it, as a server does before it serves a model
        of the plan. Raises: ContractMismatch, RedisUnreachable.
        """
        fields = [catalog.view_field(view.stored_as) for view in plan.views]
        if fields:
            with mapped(self._client):
                entries = self._client.hmget(catalog.catalog_key(self._project), fields)
            catalog.confirm(plan, dict(zip(fields, entries, strict=True)))

    def expiry(self) -> ExpiryMode:
        """How rows that are long out of their ttl are removed. Raises: RedisUnreachable."""
        with mapped(self._client):
            return parse_expiry(self._client.hget(catalog.catalog_key(self._project), EXPIRY))

    def choose(self, expiry: ExpiryMode) -> None:
        """Set the expiry mode for all writers. Raises: StoreFull, StoreReadOnly, RedisUnreachable."""
        with mapped(self._client):
            self._client.hset(catalog.catalog_key(self._project), EXPIRY, expiry.encode())

    def computed_by(self, view: PlanView) -> str | None:
        """The digest of the transform that computed an on-demand view's stored outputs. Raises: RedisUnreachable."""
        with mapped(self._client):
            digest = self._client.hget(catalog.catalog_key(self._project), catalog.computed_field(view.stored_as))
        return digest.decode() if digest else None

    def note_computed_by(self, view: PlanView, digest: str) -> None:
        """Set that digest. Raises: StoreFull, StoreReadOnly, RedisUnreachable."""
        with mapped(self._client):
            self._client.hset(
                catalog.catalog_key(self._project), catalog.computed_field(view.stored_as), digest.encode()
            )

    def write(
        self,
        view: PlanView,
        keys: Sequence[bytes] | pa.BinaryArray,
        rows: Sequence[bytes] | pa.BinaryArray,
        horizon: bytes | None = None,
    ) -> int:
        """Write each row that wins over the stored one; how many won. Returns after Redis acknowledged all of them.

        `horizon` is that of `WritePolicy`. A row that is older than it may win, and expires immediately.
        Raises: StoreFull, StoreReadOnly, RedisUnreachable; some rows may then have been written, and writing all
            again is harmless. UnwritableKeys: all other rows were written.
        """
        if len(keys) != len(rows):
            raise ValueError(f"there are {len(keys)} keys and {len(rows)} rows")
        written = 0
        unwritable: list[bytes] = []
        with mapped(self._client, view.stored_as):
            for written_rows in self._written(view, keys, rows, horizon):
                written += written_rows.won
                unwritable += written_rows.no_hashes
        if unwritable:
            raise UnwritableKeys(view.stored_as, tuple(map(key_text, unwritable)))
        return written

    def push(self, view: PlanView, keys: Sequence[bytes], rows: Sequence[bytes], now: UtcMicros) -> int:
        """`prepare`, `write` as of `now` and `introduce`; few rows in two round trips. Raises: as these."""
        if len(rows) > ROWS_A_CALL:
            horizon = self.prepare(view).horizon(now)
            try:
                written = self.write(view, keys, rows, horizon)
            except UnwritableKeys:
                self.introduce(view)
                raise
            self.introduce(view)
            return written
        slot_of = self._client.keyslot if is_cluster(self._client) else None
        pairs = [*zip(keys, rows, strict=True)]
        done = self._exchange(write_protocol.push(self._project, view, pairs, now, slot_of), view.stored_as)
        if done.no_hashes:
            raise UnwritableKeys(view.stored_as, tuple(map(key_text, done.no_hashes)))
        return done.won

    def discard(self, view: PlanView, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """Remove these rows, each only if it is still the stored row of its entity; how many were removed.

        Raises: StoreReadOnly, RedisUnreachable; some rows may then be removed.
        """
        with mapped(self._client, view.stored_as):
            if is_cluster(self._client):
                field, pairs = view.stored_as.encode(), zip(keys, rows, strict=True)
                replies = self._commands.run(
                    [RedisCommand(key, ("EVAL", DISCARD, 1, key, field, row)) for key, row in pairs]
                )
                return sum(msgspec.convert(replies, list[int]))
            key_column, row_column = pa.array(keys, pa.binary()), pa.array(rows, pa.binary())
            answers = LuaPipeline(self._client, DISCARD).run(
                key_column, [view.stored_as.encode()], row_column, ROWS_A_CALL
            )
            return sum(msgspec.convert([reply for _, reply in answers], list[int]))

    def set_deadlines(self, view: PlanView, keys: Sequence[bytes], horizon: bytes) -> None:
        """Set the deadlines of these entities' rows, by the horizon as in `write`; an empty horizon removes them.

        Raises: StoreFull, StoreReadOnly, RedisUnreachable; some deadlines may then be set.
        """
        first = (view.stored_as.encode(), horizon)
        with mapped(self._client, view.stored_as):
            if is_cluster(self._client):
                self._commands.run([RedisCommand(key, ("EVAL", DEADLINES, 1, key, *first)) for key in keys])
            else:
                list(LuaPipeline(self._client, DEADLINES).run(pa.array(keys, pa.binary()), first, None, ROWS_A_CALL))

    def stored_rows(self, view: PlanView, keys: pa.BinaryArray) -> pa.BinaryArray:
        """The stored row of each entity; null if it has none, or its key is not a hash. Raises: RedisUnreachable."""
        field = view.stored_as.encode()
        if is_cluster(self._client):
            replies = self.read_each([HashLookup(key, (field,)) for key in keys.to_pylist()])
            return pa.array([None if isinstance(reply, CorruptRow) else reply[0] for reply in replies], pa.binary())
        with mapped(self._client):
            answers = LuaPipeline(self._client, STORED_ROWS).run(keys, [field], None, ROWS_A_CALL)
            parts = [pa.array(rows, pa.binary()) for _, rows in answers]
        return pa.concat_arrays(parts) if parts else pa.array([], pa.binary())

    def keys_like(self, view: PlanView) -> Iterator[pa.BinaryArray]:
        """All keys of the view's entities, in batches, each at least once, and possibly keys of other projects (see
        `owns`). Raises: RedisUnreachable.
        """
        head, tail = self._head(view), self._project.encode()
        with mapped(self._client):
            for batch in _batches(self._client.scan_iter(count=_KEYS_A_SCAN), _KEYS_A_BATCH):
                keys = pa.array(batch, pa.binary())
                yield keys.filter(pc.and_(pc.starts_with(keys, head), pc.ends_with(keys, tail)))

    def _head(self, view: PlanView) -> bytes:
        return key_head([key.key for key in view.join_keys] or [DUMMY_ENTITY[0]])

    def owns(self, key: bytes) -> bool:
        """Whether a key belongs to an entity of this project."""
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
        """Like `read`, with a CorruptRow as the reply of an entity whose key is not a hash. Raises: RedisUnreachable."""
        replies: list[Reply | CorruptRow] = []
        with mapped(self._client):
            for batch in _batches(lookups, _LOOKUPS_A_TRIP):
                replies += [_reply(lookup, answer) for lookup, answer in zip(batch, self._answers(batch), strict=True)]
        return replies

    def _answers(self, lookups: Sequence[HashLookup]) -> list[object]:
        """The reply to each lookup, or an error in its place."""
        if not is_cluster(self._client):
            return read_hashes(self._client, lookups)
        pipe = self._client.pipeline(transaction=False)
        for lookup in lookups:
            pipe.hmget(lookup.key, list(lookup.fields))
        return pipe.execute(raise_on_error=False)

    def schema(self, fingerprint: bytes) -> Schema | None:
        """The row schema with this fingerprint, if the catalog lists it."""
        with mapped(self._client):
            entry = self._client.hget(catalog.catalog_key(self._project), catalog.schema_field(fingerprint))
        return catalog.parse_schema(entry) if entry else None

    def _exchange(self, exchange: Exchange[Result], view: str = "") -> Result:
        """Run an exchange of the write protocol and return its result."""
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
        """Write the rows; yields the results in batches."""
        if is_cluster(self._client):
            pairs = [*zip(_as_bytes(keys), _as_bytes(rows), strict=True)]
            for calls in _batches(
                row_calls(view, pairs, horizon, self._client.keyslot, most=ROWS_A_CALL), _CALLS_A_TRIP
            ):
                yield WrittenRows.of(calls, self._commands.run([call.command for call in calls]))
            return
        key_column = keys if isinstance(keys, pa.Array) else pa.array(keys, pa.binary())
        row_column = rows if isinstance(rows, pa.Array) else pa.array(rows, pa.binary())
        for start, reply in LuaPipeline(self._client, SCRIPT).run(
            key_column, row_arguments(view, horizon), row_column, ROWS_A_CALL
        ):
            won, places = WriteReply.parse(reply)
            yield WrittenRows(won, tuple(key_column[start + place].as_py() for place in places))


def _as_bytes(values: Sequence[bytes] | pa.BinaryArray) -> Sequence[bytes]:
    result: Sequence[bytes] = values.to_pylist() if isinstance(values, pa.Array) else values
    return result


def _reply(lookup: HashLookup, answer: object) -> Reply | CorruptRow:
    """The reply, or a CorruptRow if the key is not a hash. Raises: other errors of Redis."""
    if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
        views = ", ".join(field.decode() for field in lookup.fields)
        return CorruptRow(views, "its key holds something else than a hash", key_text(lookup.key))
    if isinstance(answer, Exception):
        raise answer
    return cast(Reply, answer)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
