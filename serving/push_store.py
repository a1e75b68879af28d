"""The online store as the server writes it: pushed rows under newest-wins. Maps redis-py's errors for writes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from serving.contract.addresses import Sentinels, masked
from serving.contract.catalog import catalog_key, removal_field, schema_entry, view_entry
from serving.contract.newest import SCRIPT
from serving.contract.plan import View
from serving.errors import StoreUnavailable

_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_ROWS_A_CALL = 500
_CONNECTIONS = 8
Rows = Sequence[tuple[bytes, bytes]]


class PushStore:
    """Writes rows of one project. A write may be repeated, so a lost connection is tried once more."""

    def __init__(self, url: str, project: str, *, timeout_s: float) -> None:
        self._url, self._project, self._timeout = url, project, timeout_s
        self._client: Any = None

    async def write(self, view: View, rows: Rows) -> None:
        """Make the view's rows readable and write those that win; all are acknowledged when this returns.

        Raises: StoreUnavailable; any part may have been written then, and writing all again is harmless.
        """
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._connected()
                await self._send(client, view, rows)
        except TimeoutError as error:
            raise StoreUnavailable(masked(self._url), f"did not answer within {self._timeout:g} s") from error
        except (RedisError, RedisClusterException, OSError, ValueError) as error:
            told = str(error).split(" ", 1)[0] or type(error).__name__
            raise StoreUnavailable(masked(self._url), f"does not take rows ({type(error).__name__}: {told})") from error

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.aclose()
            pool = getattr(self._client, "connection_pool", None)
            if isinstance(pool, SentinelConnectionPool):
                await asyncio.gather(*[one.aclose() for one in pool.sentinel_manager.sentinels])

    async def _connected(self) -> Any:  # noqa: ANN401 - one of two clients without a type of their own
        if self._client is None:
            self._client = _client(self._url, self._timeout)
        return self._client

    async def _send(self, client: Any, view: View, rows: Rows) -> None:  # noqa: ANN401
        catalog, field = catalog_key(self._project), view.stored_as.encode()
        if await client.hexists(catalog, removal_field(view.stored_as)):
            raise StoreUnavailable(
                masked(self._url), f"takes no rows of {view.stored_as!r}: that view is being removed"
            )
        clustered = isinstance(client, RedisCluster)
        pipe = client.pipeline() if clustered else client.pipeline(transaction=False)
        pipe.hset(catalog, mapping=schema_entry(view))
        for group in _groups(client, rows) if clustered else [rows]:
            for at in range(0, len(group), _ROWS_A_CALL):
                keys, packed = zip(*group[at : at + _ROWS_A_CALL], strict=True)
                pipe.eval(SCRIPT, len(keys), *keys, field, *packed)
        for name, entry in view_entry(view).items():
            pipe.hsetnx(catalog, name, entry)
        answers = await pipe.execute()
        # See `newest.SCRIPT`: the places of keys that are no hashes.
        strange = sum(len(answer) - 1 for answer in answers if isinstance(answer, list))
        if strange:
            raise StoreUnavailable(masked(self._url), f"holds something else than rows at {strange} keys")


def _groups(client: RedisCluster, rows: Rows) -> list[Rows]:
    """The rows of each hash slot: a script runs in one."""
    by_slot: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, row in rows:
        by_slot.setdefault(client.keyslot(key), []).append((key, row))
    return list(by_slot.values())


def _client(url: str, timeout_s: float) -> Any:  # noqa: ANN401
    limits: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "max_connections": _CONNECTIONS,
        "retry": Retry(NoBackoff(), 1),
    }
    scheme, sentinels = urlsplit(url).scheme, Sentinels.parse(url)
    if sentinels is not None:
        return _primary(sentinels, limits)
    if scheme in _CLUSTER:
        return RedisCluster.from_url(_CLUSTER[scheme] + url[len(scheme) :], **limits)
    return Redis.from_url(url, **limits)


def _primary(sentinels: Sentinels, limits: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A client whose every new connection asks the sentinels for the primary."""
    options: dict[str, Any] = dict(parse_url(sentinels.url))
    options.pop("host", None)
    secure = options.pop("connection_class", None) is SSLConnection
    asked = {name: value for name, value in options.items() if name.startswith("ssl_")}
    asked |= {name: limits[name] for name in ("socket_timeout", "socket_connect_timeout", "retry")}
    known = Sentinel(sentinels.hosts, sentinel_kwargs=asked | {"ssl": secure, "password": sentinels.password})  # type: ignore[no-untyped-call]
    return known.master_for(sentinels.service, **(options | dict(limits) | {"ssl": secure}))
