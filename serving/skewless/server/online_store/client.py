"""The client of a URL: one Redis or Valkey, a primary behind sentinels, or a cluster. The one file that maps its errors.

Commands must be repeatable, since they are sent again after a lost connection: reads, and writes under newest-wins.

Held by tests/server/online_store/test_reader.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from skewless.contract.redis_urls import SentinelAddress, masked
from skewless.server.errors import StoreUnavailable
from skewless.server.online_store.cluster import ClusterClient, Item
from skewless.server.online_store.connection import (
    HandshakeRefused,
    ReconnectingClient,
    RedisAddress,
    command,
    first_word,
)
from skewless.server.online_store.sentinel import SentinelClient

_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_PING = command("PING")


class RedisClient:
    """All commands share one connection, or one to each node of a cluster. Every call ends within `timeout_s`."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.url = masked(url)
        """For messages: without the password."""
        self._timeout = timeout_s
        self._cluster: ClusterClient | None = None
        self._single: ReconnectingClient
        try:
            sentinels, scheme = SentinelAddress.parse(url), urlsplit(url).scheme
            if scheme in _CLUSTER:
                self._cluster = ClusterClient(RedisAddress.parse(_CLUSTER[scheme] + url[len(scheme) :]), timeout_s)
            elif sentinels is not None:
                self._single = SentinelClient(sentinels, timeout_s)
            else:
                self._single = ReconnectingClient(RedisAddress.parse(url), timeout_s)
        except (ValueError, TypeError, OSError, RedisError) as error:
            raise StoreUnavailable(self.url, f"is no address of a Redis ({type(error).__name__})") from error

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, by their hash slots."""
        return self._cluster is not None

    async def execute(self, items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes]) -> list[Any]:
        """The reply to each item, in order; `encode` makes one command of each. An error reply is returned, not raised.
        In a cluster each node gets the commands of its keys. Raises: StoreUnavailable.
        """
        try:
            if self._cluster is not None:
                return await self._cluster.execute(items, encode)
            return await self._single.execute(encode(items), len(items))
        except (OSError, HandshakeRefused) as error:
            raise self._unavailable(error) from error

    async def ping(self) -> None:
        """Raises: StoreUnavailable."""
        try:
            (reply,) = await (self._single.execute(_PING, 1) if self._cluster is None else self._cluster.ping())
        except (OSError, HandshakeRefused) as error:
            raise self._unavailable(error) from error
        if isinstance(reply, Exception):
            raise StoreUnavailable(self.url, f"refuses: {first_word(reply)}")

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        (self._single if self._cluster is None else self._cluster).close()

    def _unavailable(self, error: OSError | HandshakeRefused) -> StoreUnavailable:
        if isinstance(error, TimeoutError):
            return StoreUnavailable(self.url, f"did not answer within {self._timeout:g} s")
        if isinstance(error, HandshakeRefused):
            return StoreUnavailable(self.url, f"refuses: {error}")
        return StoreUnavailable(self.url, f"cannot be reached ({type(error).__name__})")
