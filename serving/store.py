"""The online store as the server reads it: Redis behind one method, `read`. The one file that knows redis-py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from serving.contract.addresses import masked
from serving.contract.catalog import catalog_key, parse_schema, schema_field
from serving.contract.errors import CorruptRow, UnknownSchema
from serving.contract.online import Lookup, Reply
from serving.contract.row import Schema
from serving.errors import StoreUnavailable

_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_WRONG_TYPE = "WRONGTYPE"


class Store:
    """Reads Redis, Redis Cluster or Valkey. Every call ends within `timeout_s` or raises StoreUnavailable."""

    def __init__(self, url: str, *, timeout_s: float, connections: int) -> None:
        self._timeout = timeout_s
        self._url = masked(url)
        try:
            self._client = _client(url, timeout_s, connections)
        except (ValueError, RedisError) as error:
            raise StoreUnavailable(self._url, f"is no address of a Redis ({type(error).__name__})") from error

    async def read(self, lookups: Sequence[Lookup]) -> list[Reply]:
        """The reply to each lookup, in order, in one round trip (in a cluster: one to each node).

        Raises:
            StoreUnavailable: no answer.
            CorruptRow: a key holds something else than a hash.
        """
        if not lookups:
            return []
        async with self._mapped():
            pipeline = self._client.pipeline() if self._clustered else self._client.pipeline(transaction=False)
            for lookup in lookups:
                pipeline.hmget(lookup.key, lookup.fields)  # type: ignore[arg-type]
            replies = await pipeline.execute(raise_on_error=False)
            for lookup, reply in zip(lookups, replies, strict=True):
                if isinstance(reply, Exception):
                    raise _refused(lookup, reply) from reply
        return replies

    async def catalog(self, project: str, fields: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """Entries of the project's catalog. Raises: StoreUnavailable."""
        (found,) = await self.read([Lookup(catalog_key(project), tuple(fields))])
        return dict(zip(fields, found, strict=True))

    async def schema(self, project: str, unknown: UnknownSchema) -> Schema:
        """The row schema that a reader does not know. Raises: StoreUnavailable, UnknownSchema if nobody does."""
        field = schema_field(bytes.fromhex(unknown.fingerprint))
        entry = (await self.catalog(project, [field]))[field]
        if entry is None:
            raise unknown
        try:
            return parse_schema(entry)
        except msgspec.MsgspecError:
            raise unknown from None

    async def ping(self) -> None:
        """Raises: StoreUnavailable."""
        async with self._mapped():
            await self._client.execute_command("PING")

    async def close(self) -> None:
        """Give all connections back."""
        await self._client.aclose()

    @property
    def _clustered(self) -> bool:
        return isinstance(self._client, RedisCluster)

    @asynccontextmanager
    async def _mapped(self) -> AsyncIterator[None]:
        """The time limit, and foreign errors as ours. Texts of the server are kept to their first word."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(self._url, f"did not answer within {self._timeout:g} s") from error
        except ResponseError as error:
            raise StoreUnavailable(self._url, f"refuses: {str(error).partition(' ')[0]}") from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise StoreUnavailable(self._url, f"cannot be reached ({type(error).__name__})") from error


def _client(url: str, timeout_s: float, connections: int) -> Redis | RedisCluster:
    # A pooled connection may have died with the last server: one retry at once opens another.
    retry = Retry(NoBackoff(), 1)
    scheme = urlsplit(url).scheme
    if scheme in _CLUSTER:
        return RedisCluster.from_url(
            _CLUSTER[scheme] + url[len(scheme) :],
            max_connections=connections,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=retry,
        )
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=retry,
    )
    return Redis.from_pool(pool)


def _refused(lookup: Lookup, error: Exception) -> Exception:
    if isinstance(error, ResponseError) and _WRONG_TYPE in str(error):
        views = ", ".join(field.decode() for field in lookup.fields)
        return CorruptRow(views, "its key holds something else than a hash", lookup.key.hex())
    return error
