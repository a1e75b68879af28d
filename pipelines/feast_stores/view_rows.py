"""Removes all rows of a feature view from the online store. Every key is looked at, so never on a request's path."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from redis import Redis, RedisCluster
from redis.exceptions import RedisError

from pipelines.progress import Report, quiet
from pipelines.redis_connection import RedisUnreachable
from serving.contract import catalog
from serving.contract.plan import DUMMY_ENTITY, View

_KEYS_A_SCAN = 1_000
_FIELDS_A_TRIP = 1_000


def remove(
    client: Redis | RedisCluster, project: str, views: Iterable[View], *, report: Report = quiet
) -> dict[str, int]:
    """Delete the views' rows and their definitions in the catalog; rows deleted by view.

    The definition goes first, so that no server takes the view for whole meanwhile. Running it again after a kill
    finishes the work. Calls `report` after each trip. Raises: RedisUnreachable.
    """
    try:
        return {view.stored_as: _remove(client, project, view, report) for view in views}
    except (RedisError, OSError) as error:
        raise RedisUnreachable("", str(error)) from error


def _remove(client: Redis | RedisCluster, project: str, view: View, report: Report) -> int:
    anyone: Any = client
    anyone.hdel(catalog.catalog_key(project), catalog.view_field(view.stored_as))
    removed = 0
    for keys in _batches(_entities(client, project, view)):
        pipe = anyone.pipeline(transaction=False)
        for key in keys:
            pipe.hdel(key, view.stored_as.encode())
        removed += sum(pipe.execute())
        report(view.stored_as, removed, 0)
    return removed


def entity_of(key: bytes) -> tuple[tuple[str, ...], str] | None:
    """The join keys and the project that an entity key names; None for what is no entity key."""
    try:
        (count,), place = struct.unpack_from("<I", key), 4
        names = []
        for _ in range(count):
            text, place = _part(key, place)
            names.append(text.decode())
        for _ in range(count):
            _, place = _part(key, place)
        return tuple(names), key[place:].decode()
    except (struct.error, UnicodeDecodeError):
        return None


def _part(key: bytes, place: int) -> tuple[bytes, int]:
    _, length = struct.unpack_from("<II", key, place)
    end = place + 8 + length
    if end > len(key):
        raise struct.error
    return key[place + 8 : end], end


def _entities(client: Redis | RedisCluster, project: str, view: View) -> Iterator[bytes]:
    names = tuple(sorted(key.key for key in view.join_keys)) or (DUMMY_ENTITY[0],)
    anyone: Any = client
    for key in anyone.scan_iter(match=b"*" + project.encode(), count=_KEYS_A_SCAN, _type="HASH"):
        if entity_of(key) == (names, project):
            yield key


def _batches(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(keys, _FIELDS_A_TRIP)):
        yield batch
