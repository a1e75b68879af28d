"""What the online store says of a view: its definition, and up to which arrival all of its rows are there.

That instant lies in the catalog, on the server that has the rows, and not only in the state database: a server that was
emptied, came back from an older copy or lost its last seconds then says so by itself, and what it lost is read again.
(In a cluster the catalog lies on one node, and vouches for that node alone.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis, RedisCluster

from pipelines.store_refusals import RemovalUnfinished, RowsLost
from serving.contract import catalog
from serving.contract.plan import View

_ADVANCE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return {0, 'removing'} end
local start, stop = ARGV[4], ARGV[5]
local reached = redis.call('HGET', KEYS[1], ARGV[2])
if start ~= '' and (not reached or reached < start) then return {0, reached or ''} end
if ARGV[6] == '0' and reached and reached > stop then stop = reached end
redis.call('HSET', KEYS[1], ARGV[2], stop, ARGV[3], ARGV[7])
return {1, stop}
"""
"""Instants are texts of one length, in which only digits differ: they compare as the times do, in any locale."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A view as the store has it: `view` None where it has none, `reached` None where it may lack any row."""

    view: View | None = None
    reached: datetime | None = None


def holdings(client: Redis | RedisCluster, project: str, names: list[str]) -> list[Holding]:
    """What the catalog says of the views that are stored under these names."""
    if not names:
        return []
    fields = [field(name) for name in names for field in (catalog.view_field, catalog.reached_field)]
    anyone: Any = client
    found = anyone.hmget(catalog.catalog_key(project), fields)
    return [
        Holding(catalog.parse_view(view) if view else None, _parsed(reached))
        for view, reached in zip(found[::2], found[1::2], strict=True)
    ]


def advance(
    client: Redis | RedisCluster, project: str, view: View, start: datetime | None, end: datetime, *, anew: bool
) -> datetime:
    """Note that all rows that arrived after `start` (None: ever) and up to `end` are there; up to where they are now.

    `anew`: what the store had said before means nothing. Raises: RowsLost where it has not what lies before `start`,
    RemovalUnfinished.
    """
    anyone: Any = client
    (entry,) = catalog.view_entry(view).items()
    names = (catalog.removal_field(view.stored_as), catalog.reached_field(view.stored_as), entry[0])
    since = _told(start) if start else ""
    arguments = (*names, since, _told(end), int(anew), entry[1])
    done, told = anyone.eval(_ADVANCE, 1, catalog.catalog_key(project), *arguments)
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
