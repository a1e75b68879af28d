"""The online store as the server reads it: Redis behind one method, `read`. The one file that maps Redis's errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from serving.contract.addresses import masked
from serving.contract.catalog import catalog_key, parse_schema, schema_field
from serving.contract.errors import CorruptRow, SkewlessError, UnknownSchema
from serving.contract.online import Lookup, Reply
from serving.contract.row import Schema
from serving.errors import StoreUnavailable
from serving.multiplexer import Address, Multiplexer, Refusal, command

_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_WRONG_TYPE = "WRONGTYPE"
_PING = command("PING")


class Store:
    """Reads Redis, Redis Cluster or Valkey. Every call ends within `timeout_s` or raises StoreUnavailable.

    One server is read through one connection that all requests share, a cluster through redis-py.
    """

    def __init__(self, url: str, *, timeout_s: float, connections: int) -> None:
        self._timeout = timeout_s
        self._url = masked(url)
        self._tails: dict[tuple[bytes, ...], tuple[bytes, bytes]] = {}
        self._cluster: RedisCluster | None = None
        try:
            if urlsplit(url).scheme in _CLUSTER:
                self._cluster = _cluster(url, timeout_s, connections)
            else:
                self._one = Multiplexer(Address.parse(url), timeout_s)
        except (ValueError, TypeError, OSError, RedisError) as error:
            raise StoreUnavailable(self._url, f"is no address of a Redis ({type(error).__name__})") from error

    async def read(self, lookups: Sequence[Lookup]) -> list[Reply]:
        """The reply to each lookup, in order, in one round trip (in a cluster: one to each node).

        Raises:
            StoreUnavailable: no answer, or one that refuses.
            CorruptRow: a key holds something else than a hash.
        """
        replies = await self.replies(lookups)
        for lookup, reply in zip(lookups, replies, strict=True):
            if type(reply) is not list:
                raise self._refused(lookup, reply)
        return replies

    async def replies(self, lookups: Sequence[Lookup]) -> list[Any]:
        """As `read`, with the server's error in place of a reply that is one. Raises: StoreUnavailable."""
        return await self._ask(self._encoded(lookups), len(lookups), lookups) if lookups else []

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
        (answer,) = await self._ask(_PING, 1, None)
        if isinstance(answer, Exception):
            raise StoreUnavailable(self._url, f"refuses: {_first_word(answer)}")

    async def close(self) -> None:
        """Give all connections back."""
        if self._cluster is not None:
            await self._cluster.aclose()
        else:
            self._one.close()

    def _encoded(self, lookups: Sequence[Lookup]) -> bytes:
        """The lookups as one string of HMGET commands; what follows the key is encoded once per set of fields."""
        tails, parts = self._tails, []
        for key, fields in lookups:
            ends = tails.get(fields)
            if ends is None:
                tail = b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in fields)
                ends = tails[fields] = (b"*%d\r\n$5\r\nHMGET\r\n$" % (len(fields) + 2), tail)
            parts.append(b"%b%d\r\n%b\r\n%b" % (ends[0], len(key), key, ends[1]))
        return b"".join(parts)

    async def _ask(self, commands: bytes, replies: int, lookups: Sequence[Lookup] | None) -> list[Any]:
        """The replies, errors among them: to `commands`, or in a cluster to `lookups` (None: a PING)."""
        if self._cluster is not None:
            return await self._ask_cluster(self._cluster, lookups)
        try:
            return await self._one.ask(commands, replies)
        except TimeoutError as error:
            raise StoreUnavailable(self._url, f"did not answer within {self._timeout:g} s") from error
        except OSError as error:
            raise StoreUnavailable(self._url, f"cannot be reached ({type(error).__name__})") from error
        except Refusal as error:
            raise StoreUnavailable(self._url, f"refuses: {error}") from error

    async def _ask_cluster(self, cluster: RedisCluster, lookups: Sequence[Lookup] | None) -> list[Any]:
        async with self._mapped():
            if lookups is None:
                return [await cluster.execute_command("PING")]
            pipeline = cluster.pipeline()
            for lookup in lookups:
                pipeline.hmget(lookup.key, lookup.fields)  # type: ignore[arg-type]
            return list(await pipeline.execute(raise_on_error=False))
        raise AssertionError  # for mypy: `_mapped` swallows nothing

    @asynccontextmanager
    async def _mapped(self) -> AsyncIterator[None]:
        """The time limit, and redis-py's errors as ours. Texts of the server are kept to their first word."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(self._url, f"did not answer within {self._timeout:g} s") from error
        except ResponseError as error:
            raise StoreUnavailable(self._url, f"refuses: {_first_word(error)}") from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise StoreUnavailable(self._url, f"cannot be reached ({type(error).__name__})") from error

    def _refused(self, lookup: Lookup, error: object) -> SkewlessError:
        """What to say of one key's error: whose it is. Other requests do not see it."""
        views = ", ".join(field.decode() for field in lookup.fields)
        if _WRONG_TYPE in str(error):
            return CorruptRow(views, "its key holds something else than a hash", lookup.key.hex())
        what = f"refuses to read feature view {views!r} of entity {lookup.key.hex()}: {_first_word(error)}"
        return StoreUnavailable(self._url, what)


def _cluster(url: str, timeout_s: float, connections: int) -> RedisCluster:
    scheme = urlsplit(url).scheme
    return RedisCluster.from_url(
        _CLUSTER[scheme] + url[len(scheme) :],
        max_connections=connections,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # A pooled connection may have died with the last server: one retry at once opens another.
        retry=Retry(NoBackoff(), 1),
    )


def _first_word(error: object) -> str:
    return str(error).partition(" ")[0]
