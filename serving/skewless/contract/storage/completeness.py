"""The arrival time up to which all rows of a view are in the online store, as the catalog and its marks record it.

The instant lies on the server that has the rows, and not only in the state database: a server that was emptied, restored
from an older copy or lost its last seconds then shows an earlier instant, and the lost rows are read again.

In a cluster the catalog lies on one node and vouches for that node alone. So marks record the instant too: small hashes
spread over the slots; a node has those of its slots, and they move with them. The view is complete up to the earliest of
all these instants, and to an unknown point where any of them is missing.

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
with it. Returns whether it was written, and the instant or the reason why not. Instants are texts of one length in which
only digits differ: they compare as the times do, in any locale.
"""
REMOVING = b"removing"


@dataclass(frozen=True, slots=True)
class StoredView:
    """A view in the store: `view` None where the store does not have it, `reached` None where any row may be missing."""

    view: PlanView | None = None
    reached: datetime | None = None


def instant(time: datetime) -> bytes:
    """An instant in the catalog's form: RFC 3339 in microseconds, in UTC."""
    return (time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z").encode()


def parse_instant(data: bytes | None) -> datetime | None:
    """Parse an instant from the catalog; None where there is none, or it does not parse."""
    try:
        return datetime.fromisoformat(data.decode()) if data else None
    except (UnicodeDecodeError, ValueError):
        return None


def earliest(instants: Sequence[datetime | None]) -> datetime | None:
    """The instant up to which a view is complete by these; None where any of them is missing."""
    known = [time for time in instants if time is not None]
    return min(known) if len(known) == len(instants) else None
