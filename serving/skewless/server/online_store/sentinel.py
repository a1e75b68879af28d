"""The shared connection to a primary that sentinels name: they are asked whenever it is opened.

Held by tests/server/online_store/test_reader_topologies.py.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from skewless.contract.redis_urls import SentinelAddress
from skewless.server.online_store.connection import PipelinedConnection, ReconnectingClient, RedisAddress


class SentinelClient(ReconnectingClient):
    """A primary that fails or is demoted closes its connections, and the next connection goes to the new primary."""

    def __init__(self, sentinels: SentinelAddress, timeout_s: float) -> None:
        super().__init__(RedisAddress.parse(sentinels.url), timeout_s)
        self._service, self._hosts = sentinels.service, sentinels.hosts
        options: dict[str, Any] = dict(parse_url(sentinels.url))
        secure = {name: value for name, value in options.items() if name.startswith("ssl_")}
        # A silent sentinel must leave time for the next one to answer.
        each_s = timeout_s / (len(sentinels.hosts) + 1)
        self._sentinel_options: dict[str, Any] = secure | {
            "ssl": options.get("connection_class") is SSLConnection,
            "password": sentinels.password,
            "socket_timeout": each_s,
            "socket_connect_timeout": each_s,
            "retry": Retry(NoBackoff(), 0),
        }

    async def _open(self) -> PipelinedConnection:
        """Raises: OSError, HandshakeRefused."""
        sentinel = Sentinel(self._hosts, sentinel_kwargs=self._sentinel_options)  # type: ignore[no-untyped-call]
        try:
            host, port = await sentinel.discover_master(self._service)
        except RedisError as error:
            raise ConnectionRefusedError(f"no sentinel knows a primary of {self._service!r}") from error
        finally:
            await asyncio.gather(*[client.aclose() for client in sentinel.sentinels])
        self._address = replace(self._address, host=str(host), port=int(port))
        return await super()._open()
