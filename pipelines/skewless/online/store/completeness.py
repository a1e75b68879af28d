"""The keys of a cluster's completeness marks, which record on each node the arrival up to which a view is complete.

`skewless.contract.storage.completeness` explains the content and purpose of a mark.
"""

from __future__ import annotations

from functools import cache
from itertools import count

from redis.crc import key_slot

from skewless.online.store.redis_protocol import SyncRedis, is_cluster

_SLOTS, _MARKS = 16_384, 256
"""A node has a mark if 127 of its slots are consecutive."""


def marks(client: SyncRedis, project: str) -> list[bytes]:
    """The keys of a project's marks, one in each of 256 spans of slots; none for a single server."""
    if not is_cluster(client):
        return []
    return [b"skewless:reached:{%d}:%s" % (tag, project.encode()) for tag in _tags()]


@cache
def _tags() -> tuple[int, ...]:
    """For each span of slots a number whose slot is in it."""
    tag_by_span: dict[int, int] = {}
    tags = count()
    while len(tag_by_span) < _MARKS:
        tag = next(tags)
        tag_by_span.setdefault(key_slot(b"%d" % tag) * _MARKS // _SLOTS, tag)
    return tuple(tag_by_span[span] for span in range(_MARKS))
