"""Errors of the online store. The only file of the pipelines that maps errors of the Redis client.

SkewlessError
├── RedisUnreachable     no Redis accepts the connection (see `skewless.online.store.connection`)
├── StoreFull            its memory is full
├── StoreReadOnly        it is a replica, or became one
├── UnwritableKeys       keys of some entities are not hashes
└── NoFieldExpiry        the server cannot expire single fields

RowsLost and RemovalUnfinished, which the write protocol raises, are the contract's (see `skewless.contract.errors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisClusterException, RedisError

from skewless.contract.errors import SkewlessError
from skewless.online.store.connection import RedisUnreachable, address
from skewless.online.store.redis_protocol import SyncRedis

_LISTED = 3


@dataclass(eq=False)
class StoreFull(SkewlessError):
    """The online store at `url` has no memory left for rows of `view`."""

    transient = True

    url: str
    view: str

    def __str__(self) -> str:
        return (
            f"the online store at {self.url} is full: not all rows of feature view {self.view!r} were written; raise its "
            "maxmemory, or remove views, and run this again"
        )


@dataclass(eq=False)
class StoreReadOnly(SkewlessError):
    """The online store at `url` accepts no writes."""

    transient = True

    url: str
    view: str

    def __str__(self) -> str:
        return (
            f"the online store at {self.url} takes no writes, so feature view {self.view!r} was not written: it is a "
            "replica; name the primary in SKEWLESS_REDIS_URL, or the sentinels (redis+sentinel://)"
        )


@dataclass(eq=False)
class UnwritableKeys(SkewlessError):
    """The keys of these entities are not hashes; all other rows of the batch were written."""

    view: str
    entities: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.entities) - _LISTED} more" if len(self.entities) > _LISTED else ""
        return (
            f"rows of feature view {self.view!r} were not written for {'; '.join(self.entities[:_LISTED])}{more}: their "
            "keys hold something else than a hash, which is not ours; delete those keys, and run this again"
        )


@dataclass(eq=False)
class NoFieldExpiry(SkewlessError):
    """The online store at `url` cannot expire single fields of a hash; `lacking` are the missing commands."""

    url: str
    lacking: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the online store at {self.url} cannot remove rows by itself: it has no {', '.join(self.lacking)}, which come "
            "with Valkey 9 and Redis 7.4; let `skewless expire --by sweep` do it"
        )


@contextmanager
def mapped(client: SyncRedis, view: str = "") -> Iterator[None]:
    """Map errors of the Redis client to ours; `view` is the view being read or written."""
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreFull(address(client), view) from error
    except ReadOnlyError as error:
        raise StoreReadOnly(address(client), view) from error
    except (RedisError, RedisClusterException, OSError) as error:
        raise RedisUnreachable(address(client), str(error)) from error
