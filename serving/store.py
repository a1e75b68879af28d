"""The online store as the server reads it: Redis behind one method, `read`. The one file that maps Redis's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from redis.exceptions import RedisError

from serving.cluster import Cluster
from serving.contract.addresses import Sentinels, masked
from serving.contract.catalog import catalog_key, parse_schema, schema_field
from serving.contract.errors import CorruptRow, SkewlessError, UnknownSchema
from serving.contract.keys import told_key
from serving.contract.online import Lookup, Reply
from serving.contract.row import Schema
from serving.errors import StoreUnavailable
from serving.multiplexer import Address, Multiplexer, Refusal, command
from serving.sentinel import SentinelMultiplexer

_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_WRONG_TYPE = "WRONGTYPE"
_PING = command("PING")


class Store:
    """Reads Redis, Redis Cluster or Valkey. Every call ends within `timeout_s` or raises StoreUnavailable.

    All requests share one connection to the server (sentinels say to which), or to each node of a cluster.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout = timeout_s
        self._url = masked(url)
        self._tails: dict[tuple[bytes, ...], tuple[bytes, bytes]] = {}
        self._cluster: Cluster | None = None
        self._one: Multiplexer
        try:
            sentinels, scheme = Sentinels.parse(url), urlsplit(url).scheme
            if scheme in _CLUSTER:
                self._cluster = Cluster(Address.parse(_CLUSTER[scheme] + url[len(scheme) :]), timeout_s)
            elif sentinels is not None:
                self._one = SentinelMultiplexer(sentinels, timeout_s)
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
                raise self.refused(lookup, reply)
        return replies

    async def replies(self, lookups: Sequence[Lookup]) -> list[Any]:
        """As `read`, with the server's error in place of a reply that is one. Raises: StoreUnavailable."""
        if not lookups:
            return []
        if self._cluster is None:
            return await self._mapped(self._one.ask(self._encoded(lookups), len(lookups)))
        return await self._mapped(self._cluster.ask(lookups, self._encoded))

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
        (answer,) = await self._mapped(self._one.ask(_PING, 1) if self._cluster is None else self._cluster.ping())
        if isinstance(answer, Exception):
            raise StoreUnavailable(self._url, f"refuses: {_first_word(answer)}")

    async def close(self) -> None:
        """Give all connections back."""
        (self._one if self._cluster is None else self._cluster).close()

    def _encoded(self, lookups: Sequence[Lookup]) -> bytes:
        """The lookups as one string of HMGET commands; what follows the key is encoded once per set of fields."""
        parts: list[bytes] = []
        last: tuple[bytes, ...] = ()
        length, head, tail = -1, b"", b""
        for key, fields in lookups:
            if fields is not last or len(key) != length:
                begin, tail = self._ends(fields)
                last, length = fields, len(key)
                head = b"%b%d\r\n" % (begin, length)
            parts += (head, key, tail)
        return b"".join(parts)

    def _ends(self, fields: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """What stands before the length of an HMGET's key, and behind the key."""
        ends = self._tails.get(fields)
        if ends is None:
            tail = b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in fields)
            ends = self._tails[fields] = (b"*%d\r\n$5\r\nHMGET\r\n$" % (len(fields) + 2), b"\r\n" + tail)
        return ends

    async def _mapped(self, asked: Awaitable[list[Any]]) -> list[Any]:
        """The replies, errors of single keys among them. Texts of the server are kept to their first word."""
        try:
            return await asked
        except TimeoutError as error:
            raise StoreUnavailable(self._url, f"did not answer within {self._timeout:g} s") from error
        except OSError as error:
            raise StoreUnavailable(self._url, f"cannot be reached ({type(error).__name__})") from error
        except Refusal as error:
            raise StoreUnavailable(self._url, f"refuses: {error}") from error

    def refused(self, lookup: Lookup, error: object) -> SkewlessError:
        """What to say of one key's error: whose it is. Other requests do not see it."""
        views = ", ".join(field.decode() for field in lookup.fields)
        if _WRONG_TYPE in str(error):
            return CorruptRow(views, "its key holds something else than a hash", told_key(lookup.key))
        what = f"refuses to read feature view {views!r} of entity {told_key(lookup.key)}: {_first_word(error)}"
        return StoreUnavailable(self._url, what)


def _first_word(error: object) -> str:
    return str(error).partition(" ")[0]
