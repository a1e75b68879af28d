"""Up to which arrival all rows of a view are in the online store, as the catalog and its marks hold it.

The instant lies on the server that has the rows, and not only in the state database: a server that was emptied, came back
from an older copy or lost its last seconds then says so by itself, and what it lost is read again.

In a cluster the catalog lies on one node and vouches for that one alone. So the instant is noted again by marks, small
hashes that are dealt out to the slots; a node has those of its slots, and they move with them. The view is whole up to
the earliest of all these instants, and nobody knows where any of them is missing.

Held by tests/contract/storage/test_write_protocol.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from skewless.contract.plan import PlanView

ADVANCE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return {0, 'removing'} end
local start, stop = ARGV[3], ARGV[4]
local reached = redis.call('HGET', KEYS[1], ARGV[2])
if start ~= '' and (not reached or reached < start) then return {0, reached or ''} end
if ARGV[5] == '0' and reached and reached > stop then stop = reached end
redis.call('HSET', KEYS[1], ARGV[2], stop, unpack(ARGV, 6))
return {1, stop}
"""
"""KEYS: the catalog or a mark. ARGV: the fields of the removal and of the instant, the window's start (empty: from the
first arrival on) and end, and whether the instant may go back (1) or not (0). Fields and values that follow are written
with it. Answers whether it was written, and the instant or why not. Instants are texts of one length in which only
digits differ: they compare as the times do, in any locale.
"""
REMOVING = b"removing"


@dataclass(frozen=True, slots=True)
class StoredView:
    """A view as the store has it: `view` None where it has none, `reached` None where it may lack any row."""

    view: PlanView | None = None
    reached: datetime | None = None


def instant(time: datetime) -> bytes:
    """An instant as the catalog holds it: RFC 3339 in microseconds, in UTC."""
    return (time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z").encode()


def parse_instant(data: bytes | None) -> datetime | None:
    """An instant out of the catalog; None where there is none, or it does not parse."""
    try:
        return datetime.fromisoformat(data.decode()) if data else None
    except (UnicodeDecodeError, ValueError):
        return None


def earliest(instants: Sequence[datetime | None]) -> datetime | None:
    """Up to where a view is whole by these; None where any of them is missing."""
    known = [one for one in instants if one is not None]
    return min(known) if len(known) == len(instants) else None
