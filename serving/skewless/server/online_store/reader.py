"""The server's reads of the online store, Redis behind one method: `read`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from skewless.contract.columns import Schema
from skewless.contract.errors import CorruptRow, SkewlessError, UnknownSchema
from skewless.contract.storage.catalog import catalog_key, parse_schema, schema_field
from skewless.contract.storage.entity_key import key_text
from skewless.contract.storage.lookup import HashLookup, Reply
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.client import RedisClient
from skewless.server.online_store.connection import first_word

_WRONG_TYPE = "WRONGTYPE"


class OnlineStoreReader:
    """Reads Redis, Redis Cluster or Valkey. Every call ends within `timeout_s` or raises StoreUnavailable.

    All requests share one connection to the server (the primary that sentinels name), or to each node of a cluster.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._server = RedisClient(url, timeout_s=timeout_s)
        self._tails: dict[tuple[bytes, ...], tuple[bytes, bytes]] = {}

    async def read(self, lookups: Sequence[HashLookup]) -> list[Reply]:
        """The reply to each lookup, in order, in one round trip (in a cluster: one to each node).

        Raises:
            StoreUnavailable: no reply, or one that refuses.
            CorruptRow: a key is not a hash.
        """
        replies = await self.replies(lookups)
        for lookup, reply in zip(lookups, replies, strict=True):
            if type(reply) is not list:
                raise self.reply_error(lookup, reply)
        return replies

    async def replies(self, lookups: Sequence[HashLookup]) -> list[Any]:
        """`read` with error replies returned, not raised. Raises: StoreUnavailable."""
        if not lookups:
            return []
        return await self._server.execute(lookups, self._encoded)

    async def catalog(self, project: str, fields: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """Entries of the project's catalog. Raises: StoreUnavailable."""
        (values,) = await self.read([HashLookup(catalog_key(project), tuple(fields))])
        return dict(zip(fields, values, strict=True))

    async def schema(self, project: str, unknown: UnknownSchema) -> Schema:
        """A row schema from the catalog. Raises: StoreUnavailable, or `unknown` where the catalog does not have it."""
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
        await self._server.ping()

    async def close(self) -> None:
        """Close all connections."""
        self._server.close()

    def _encoded(self, lookups: Sequence[HashLookup]) -> bytes:
        """The lookups as one string of HMGET commands; the part after the key is encoded once per set of fields."""
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
        """The bytes of an HMGET before its key's length, and after its key."""
        ends = self._tails.get(fields)
        if ends is None:
            tail = b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in fields)
            ends = self._tails[fields] = (b"*%d\r\n$5\r\nHMGET\r\n$" % (len(fields) + 2), b"\r\n" + tail)
        return ends

    def reply_error(self, lookup: HashLookup, error: object) -> SkewlessError:
        """The error of one key's reply, which names its views and entity; other requests are not affected."""
        views = ", ".join(field.decode() for field in lookup.fields)
        if _WRONG_TYPE in str(error):
            return CorruptRow(views, "its key holds something else than a hash", key_text(lookup.key))
        what = f"refuses to read feature view {views!r} of entity {key_text(lookup.key)}: {first_word(error)}"
        return StoreUnavailable(self._server.url, what)
