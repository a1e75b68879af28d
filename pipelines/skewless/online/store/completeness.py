"""What the online store says of a view: its definition, and up to which arrival all of its rows are there.

That instant lies in the catalog, on the server that has the rows, and not only in the state database: a server that was
emptied, came back from an older copy or lost its last seconds then says so by itself, and what it lost is read again.

In a cluster the catalog lies on one node and vouches for that one alone. So the instant is noted again by marks, small
hashes that are dealt out to the slots; a node has those of its slots, and they move with them. The view is whole up to
the earliest of all these instants, and nobody knows where one is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

from redis import Redis, RedisCluster
from redis.crc import key_slot

from skewless.contract.plan import PlanView
from skewless.contract.storage import catalog
from skewless.online.store.lua_cluster import LuaClusterScript
from skewless.online.store.redis_errors import RemovalUnfinished, RowsLost

_ADVANCE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return {0, 'removing'} end
local start, stop = ARGV[3], ARGV[4]
local reached = redis.call('HGET', KEYS[1], ARGV[2])
if start ~= '' and (not reached or reached < start) then return {0, reached or ''} end
if ARGV[5] == '0' and reached and reached > stop then stop = reached end
redis.call('HSET', KEYS[1], ARGV[2], stop, unpack(ARGV, 6))
return {1, stop}
"""
"""Arguments 6 and on are written beside. Instants are texts of one length, in which only digits differ: they compare as the times do, in any locale."""


_SLOTS, _MARKS = 16_384, 256
"""A node has a mark if 127 of its slots lie side by side."""


@dataclass(frozen=True, slots=True)
class StoredView:
    """A view as the store has it: `view` None where it has none, `reached` None where it may lack any row."""

    view: PlanView | None = None
    reached: datetime | None = None


def holdings(client: Redis | RedisCluster, project: str, names: list[str]) -> list[StoredView]:
    """What the catalog says of the views that are stored under these names."""
    if not names:
        return []
    fields = [field(name) for name in names for field in (catalog.view_field, catalog.reached_field)]
    anyone: Any = client
    found = anyone.hmget(catalog.catalog_key(project), fields)
    noted = _marked(client, project, names)
    return [
        StoredView(catalog.parse_view(view) if view else None, _earliest([_parsed(reached), *marked]))
        for view, reached, marked in zip(found[::2], found[1::2], noted, strict=True)
    ]


def marks(client: Redis | RedisCluster, project: str) -> list[bytes]:
    """The keys of a project's marks: one to each of as many spans of slots; none where there is one server."""
    if not isinstance(client, RedisCluster):
        return []
    return [b"skewless:reached:{%d}:%s" % (tag, project.encode()) for tag in _tags()]


@cache
def _tags() -> tuple[int, ...]:
    """Numbers whose slots lie in one span of slots each."""
    found: dict[int, int] = {}
    tags = count()
    while len(found) < _MARKS:
        tag = next(tags)
        found.setdefault(key_slot(b"%d" % tag) * _MARKS // _SLOTS, tag)
    return tuple(found[span] for span in range(_MARKS))


def _marked(client: Redis | RedisCluster, project: str, names: list[str]) -> list[list[datetime | None]]:
    """By view what each mark says."""
    keys = marks(client, project)
    if not keys:
        return [[] for _ in names]
    anyone: Any = client
    pipe = anyone.pipeline(transaction=False)
    for key in keys:
        pipe.hmget(key, [catalog.reached_field(name) for name in names])
    told = pipe.execute()
    return [[_parsed(one[place]) for one in told] for place in range(len(names))]


def _earliest(instants: list[datetime | None]) -> datetime | None:
    known = [instant for instant in instants if instant is not None]
    return min(known) if len(known) == len(instants) else None


def advance(
    client: Redis | RedisCluster, project: str, view: PlanView, start: datetime | None, end: datetime, *, anew: bool
) -> datetime:
    """Note that all rows that arrived after `start` (None: ever) and up to `end` are there; up to where they are now.

    `anew`: what the store had said before means nothing. Raises: RowsLost where it has not what lies before `start`,
    RemovalUnfinished.
    """
    anyone: Any = client
    since = _told(start) if start else ""
    names = (catalog.removal_field(view.stored_as), catalog.reached_field(view.stored_as))
    arguments = (*names, since.encode(), _told(end).encode(), b"%d" % anew)
    if isinstance(client, RedisCluster):
        noted = [([mark], arguments) for mark in marks(client, project)]
        for done, told in LuaClusterScript(client, _ADVANCE).run(noted):
            if not done:
                raise RowsLost(view.stored_as, since, told.decode() or None)
    (entry,) = catalog.view_entry(view).items()
    done, told = anyone.eval(_ADVANCE, 1, catalog.catalog_key(project), *arguments, *entry)
    if done:
        found = _parsed(told)
        assert found  # noqa: S101 - it is what was just written
        return found
    if told == b"removing":
        raise RemovalUnfinished(view.stored_as)
    raise RowsLost(view.stored_as, since, told.decode() or None)


def _told(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _parsed(told: bytes | None) -> datetime | None:
    try:
        return datetime.fromisoformat(told.decode()) if told else None
    except (UnicodeDecodeError, ValueError):
        return None
