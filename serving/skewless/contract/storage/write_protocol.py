"""Writing the rows of a view, without I/O and without a clock: which commands to send, and what the replies mean.

An exchange is a generator. Each step yields commands to send at once and receives their replies in order; at the end it
returns its result. Two shells run the exchanges, each with connections, timeouts and errors of its own: the predict server's on
asyncio (`skewless.server.online_store.writer`), and the synchronous one of the offline steps
(`skewless.online.store.store`). A reply that is an error does not reach the exchange: the shell raises it. Every
command may be repeated.

Rows of a whole table come by the million, and on a single server the offline steps do not make commands of them: they
frame whole Arrow columns (`skewless.online.store.lua_pipeline`), since a Python object for each row takes longer than the
server needs to store it. Only the framing differs there. The commands before (`prepare`) and after (`register`,
`introduction`), the script with its first arguments (`row_arguments`), the rows of a call (ROWS_A_CALL) and the meaning
of its reply (`WriteReply`) are those of this module. On a cluster the offline steps send `row_calls` like the server.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from skewless.contract.errors import RemovalUnfinished, RowsLost
from skewless.contract.plan import PlanView
from skewless.contract.storage.catalog import (
    catalog_key,
    parse_view,
    reached_field,
    removal_field,
    schema_entry,
    view_entry,
    view_field,
)
from skewless.contract.storage.completeness import ADVANCE, REMOVING, StoredView, earliest, instant, parse_instant
from skewless.contract.storage.newest_wins import SCRIPT
from skewless.contract.storage.write_policy import WritePolicy
from skewless.contract.timestamps import UtcMicros

ROWS_A_CALL = 500
"""How many rows one call of the script takes at most: the server does nothing else meanwhile."""

Result = TypeVar("Result")
KeyedRows = Sequence[tuple[bytes, bytes]]
"""Entity keys with their packed rows."""
SlotOf = Callable[[bytes], int]
"""The hash slot of a key."""


class RedisCommand(NamedTuple):
    """One command with its name and arguments; a cluster routes it by `key`."""

    key: bytes
    arguments: tuple[bytes | str | int, ...]


Exchange = Generator[Sequence[RedisCommand], Sequence[object], Result]


class RowCall(NamedTuple):
    """One call of the script that writes rows, and the keys of its rows."""

    command: RedisCommand
    keys: Sequence[bytes]


class WriteReply(NamedTuple):
    """The script's reply: how many rows won, and which of the call's keys, by position, are no hashes."""

    won: int
    no_hashes: tuple[int, ...]

    @classmethod
    def parse(cls, reply: object) -> WriteReply:
        """See `newest_wins.SCRIPT`. Raises: msgspec.ValidationError."""
        if not isinstance(reply, list):
            return cls(msgspec.convert(reply, int), ())
        won, *places = msgspec.convert(reply, list[int])
        return cls(won, tuple(place - 1 for place in places))


class WrittenRows(NamedTuple):
    """How many rows won, and the keys whose value is no hash; those were left alone."""

    won: int
    no_hashes: tuple[bytes, ...]

    @classmethod
    def of(cls, calls: Sequence[RowCall], replies: Sequence[object]) -> WrittenRows:
        """From the replies to `calls`, in their order."""
        parsed = [WriteReply.parse(reply) for reply in replies]
        keys = [call.keys[place] for call, reply in zip(calls, parsed, strict=True) for place in reply.no_hashes]
        return cls(sum(reply.won for reply in parsed), tuple(keys))


def prepare(project: str, view: PlanView) -> Exchange[WritePolicy]:
    """Before any row is written: store the view's schema, so that readers can decode its rows, and read how to write them.

    Raises: RemovalUnfinished.
    """
    replies = yield [
        _command("HMGET", catalog_key(project), *WritePolicy.fields(view)),
        _command("HSET", catalog_key(project), *_flat(schema_entry(view))),
    ]
    policy = WritePolicy.of(view, _texts(replies[0]))
    if policy.removing:
        raise RemovalUnfinished(view.stored_as)
    return policy


def row_arguments(view: PlanView, horizon: bytes | None) -> tuple[bytes, ...]:
    """The script's arguments before the rows; `horizon` is that of `WritePolicy.horizon`."""
    field = view.stored_as.encode()
    return (field,) if horizon is None else (field, horizon)


def row_calls(
    view: PlanView, rows: KeyedRows, horizon: bytes | None, slot_of: SlotOf | None, *, most: int = ROWS_A_CALL
) -> Iterator[RowCall]:
    """The calls of the script for all rows; on a cluster (`slot_of`) each call has rows of one hash slot."""
    first = row_arguments(view, horizon)
    for group in _by_slot(rows, slot_of) if slot_of else [rows]:
        for at in range(0, len(group), most):
            keys, packed = zip(*group[at : at + most], strict=True)
            yield RowCall(_script(SCRIPT, keys, *first, *packed), keys)


def introduction(project: str, view: PlanView) -> list[RedisCommand]:
    """Adds the view's definition to the catalog unless it has one: rows of the view are stored now."""
    return [_command("HSETNX", catalog_key(project), *pair) for pair in view_entry(view).items()]


def introduce(project: str, view: PlanView) -> Exchange[None]:
    """`introduction` by itself."""
    yield introduction(project, view)


def push(
    project: str, view: PlanView, rows: KeyedRows, now: UtcMicros, slot_of: SlotOf | None = None
) -> Exchange[WrittenRows]:
    """Write the rows that win as of `now` (microseconds), and introduce the view. Raises: RemovalUnfinished."""
    policy = yield from prepare(project, view)
    calls = [*row_calls(view, rows, policy.horizon(now), slot_of)]
    replies = yield [*(call.command for call in calls), *introduction(project, view)]
    return WrittenRows.of(calls, replies[: len(calls)])


def register(
    project: str,
    view: PlanView,
    start: datetime | None,
    end: datetime,
    *,
    anew: bool,
    marks: Sequence[bytes] = (),
) -> Exchange[datetime]:
    """Put the view's definition into the catalog, and record there and in a cluster's `marks` that the store has all rows
    with start < arrival <= end (start None: from the first). Returns up to which arrival the store is complete now.

    `anew`: ignore what was recorded before. Raises: RowsLost if the store is not complete up to `start`,
    RemovalUnfinished.
    """
    since = instant(start) if start else b""
    names = (removal_field(view.stored_as), reached_field(view.stored_as))
    arguments = (*names, since, instant(end), b"%d" % anew)
    if marks:
        for reply in (yield [_script(ADVANCE, [mark], *arguments) for mark in marks]):
            _reached(view, since, reply)
    (reply,) = yield [_script(ADVANCE, [catalog_key(project)], *arguments, *_flat(view_entry(view)))]
    return _reached(view, since, reply)


def stored_views(project: str, names: Sequence[str], marks: Sequence[bytes] = ()) -> Exchange[list[StoredView]]:
    """What the catalog and a cluster's `marks` record of the views stored under `names`."""
    if not names:
        return []
    fields = [field(name) for name in names for field in (view_field, reached_field)]
    replies = yield [_command("HMGET", catalog_key(project), *fields)]
    entries = _texts(replies[0])
    noted: Sequence[object] = []
    if marks:
        noted = yield [_command("HMGET", mark, *map(reached_field, names)) for mark in marks]
    instants = [entries[1::2], *map(_texts, noted)]
    return [
        StoredView(parse_view(entry) if entry else None, earliest([*map(parse_instant, of_view)]))
        for entry, *of_view in zip(entries[::2], *instants, strict=True)
    ]


def _reached(view: PlanView, since: bytes, reply: object) -> datetime:
    """Parse the reply of `ADVANCE`. Raises: RowsLost, RemovalUnfinished."""
    done, data = msgspec.convert(reply, tuple[int, bytes])
    reached = parse_instant(data)
    if done and reached is not None:
        return reached
    if data == REMOVING:
        raise RemovalUnfinished(view.stored_as)
    raise RowsLost(view.stored_as, since.decode(), data.decode() or None)


def _command(name: str, key: bytes, *arguments: bytes) -> RedisCommand:
    return RedisCommand(key, (name, key, *arguments))


def _script(script: str, keys: Sequence[bytes], *arguments: bytes) -> RedisCommand:
    return RedisCommand(keys[0], ("EVAL", script, len(keys), *keys, *arguments))


def _by_slot(rows: KeyedRows, slot_of: SlotOf) -> list[KeyedRows]:
    slots: dict[int, list[tuple[bytes, bytes]]] = {}
    for pair in rows:
        slots.setdefault(slot_of(pair[0]), []).append(pair)
    return list(slots.values())


def _flat(pairs: Mapping[bytes, bytes]) -> list[bytes]:
    return [word for pair in pairs.items() for word in pair]


def _texts(reply: object) -> list[bytes | None]:
    return msgspec.convert(reply, list[bytes | None])
