"""Where a cluster's marks lie: they note on each node up to which arrival all of a view's rows are there.

What a mark holds and what it is for says `skewless.contract.storage.completeness`.
"""

from __future__ import annotations

from functools import cache
from itertools import count

from redis.crc import key_slot

from skewless.online.store.redis_protocol import SyncRedis, is_cluster

_SLOTS, _MARKS = 16_384, 256
"""A node has a mark if 127 of its slots lie side by side."""


def marks(client: SyncRedis, project: str) -> list[bytes]:
    """The keys of a project's marks: one to each of as many spans of slots; none where there is one server."""
    if not is_cluster(client):
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
