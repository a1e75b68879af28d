"""What a URL names: one Redis or Valkey, the primary that sentinels know, or a cluster. The one file that maps its errors.

Whatever is asked may be asked again after a connection was lost: reads, and writes under newest-wins.

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
    """All that is asked shares one connection, or one to each node of a cluster. Every call ends within `timeout_s`."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.url = masked(url)
        """For people: without the password."""
        self._timeout = timeout_s
        self._cluster: ClusterClient | None = None
        self._one: ReconnectingClient
        try:
            sentinels, scheme = SentinelAddress.parse(url), urlsplit(url).scheme
            if scheme in _CLUSTER:
                self._cluster = ClusterClient(RedisAddress.parse(_CLUSTER[scheme] + url[len(scheme) :]), timeout_s)
            elif sentinels is not None:
                self._one = SentinelClient(sentinels, timeout_s)
            else:
                self._one = ReconnectingClient(RedisAddress.parse(url), timeout_s)
        except (ValueError, TypeError, OSError, RedisError) as error:
            raise StoreUnavailable(self.url, f"is no address of a Redis ({type(error).__name__})") from error

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, by their hash slots."""
        return self._cluster is not None

    async def ask(self, items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes]) -> list[Any]:
        """The reply to each item, whose one command `encode` makes, in order; the server's error in place of a reply
        that is one. In a cluster each node is asked for its keys. Raises: StoreUnavailable.
        """
        try:
            if self._cluster is not None:
                return await self._cluster.ask(items, encode)
            return await self._one.ask(encode(items), len(items))
        except (OSError, HandshakeRefused) as error:
            raise self._told(error) from error

    async def ping(self) -> None:
        """Raises: StoreUnavailable."""
        try:
            (answer,) = await (self._one.ask(_PING, 1) if self._cluster is None else self._cluster.ping())
        except (OSError, HandshakeRefused) as error:
            raise self._told(error) from error
        if isinstance(answer, Exception):
            raise StoreUnavailable(self.url, f"refuses: {first_word(answer)}")

    def close(self) -> None:
        """Give all connections back; whoever asks again gets new ones."""
        (self._one if self._cluster is None else self._cluster).close()

    def _told(self, error: OSError | HandshakeRefused) -> StoreUnavailable:
        if isinstance(error, TimeoutError):
            return StoreUnavailable(self.url, f"did not answer within {self._timeout:g} s")
        if isinstance(error, HandshakeRefused):
            return StoreUnavailable(self.url, f"refuses: {error}")
        return StoreUnavailable(self.url, f"cannot be reached ({type(error).__name__})")
