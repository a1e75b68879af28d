"""A connection to the online store, by URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from redis import Redis, RedisCluster, SSLConnection
from redis.backoff import ExponentialWithJitterBackoff
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from skewless.contract.errors import SkewlessError
from skewless.contract.redis_urls import SentinelAddress, masked
from skewless.online.store.redis_protocol import SyncRedis, is_cluster

CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0


@dataclass(eq=False)
class RedisUnreachable(SkewlessError):
    """No Redis at `url` (its password masked) accepts the connection."""

    transient = True

    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the online store at {self.url} cannot be used: {self.reason}; start it (`skewless up` starts the "
            "embedded one), or mend SKEWLESS_REDIS_URL"
        )


def connect(url: str, *, connect_seconds: float = CONNECT_SECONDS, answer_seconds: float = ANSWER_SECONDS) -> SyncRedis:
    """A client whose server has answered a PING; each later command times out after `answer_seconds`.

    `redis+cluster://host:port` (TLS: `rediss+cluster://`) is a Redis Cluster, by the address of any node;
    `redis+sentinel://host:port,host:port/service` is the current primary according to these sentinels.
    A command is repeated up to twice after a broken connection: all our writes are safe to repeat.

    Raises:
        RedisUnreachable: wrong address, password, TLS or protocol.
    """
    retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), retries=2)
    try:
        # redis-py's annotations are of no use to callers: see `redis_protocol`.
        client = cast("SyncRedis", _client(url, connect_seconds, answer_seconds, retry))
        client.ping()
    except AuthenticationError as error:
        raise RedisUnreachable(masked(url), f"it refuses the password or requires one ({error})") from error
    except (RedisError, RedisClusterException, OSError, ValueError) as error:
        raise RedisUnreachable(masked(url), str(error)) from error
    return client


def address(client: SyncRedis) -> str:
    """The URL of a client's server, without user and password."""
    if is_cluster(client):
        node = client.get_nodes()[0]
        return f"redis+cluster://{node.host}:{node.port}"
    pool, sentinel_pool = client.connection_pool, _sentinel_pool(client.connection_pool)
    if sentinel_pool is not None:
        addresses = [
            sentinel.connection_pool.connection_kwargs for sentinel in sentinel_pool.sentinel_manager.sentinels
        ]
        hosts = ",".join(f"{options['host']}:{options['port']}" for options in addresses)
        return f"redis+sentinel://{hosts}/{sentinel_pool.service_name}"
    options, secure = pool.connection_kwargs, issubclass(pool.connection_class, SSLConnection)
    if "path" in options:
        return f"unix://{options['path']}"
    return f"{'rediss' if secure else 'redis'}://{options.get('host')}:{options.get('port')}/{options.get('db') or 0}"


def _sentinel_pool(pool: object) -> SentinelConnectionPool | None:
    return pool if isinstance(pool, SentinelConnectionPool) else None


def _client(url: str, connect_seconds: float, answer_seconds: float, retry: Retry) -> Redis | RedisCluster:
    scheme = urlsplit(url).scheme
    sentinels = SentinelAddress.parse(url)
    if sentinels is not None:
        return _primary(sentinels, connect_seconds, answer_seconds, retry)
    if scheme in CLUSTER:
        return RedisCluster.from_url(
            CLUSTER[scheme] + url[len(scheme) :],
            socket_connect_timeout=connect_seconds,
            socket_timeout=answer_seconds,
            retry=retry,
        )
    return Redis.from_url(url, socket_connect_timeout=connect_seconds, socket_timeout=answer_seconds, retry=retry)


def _primary(sentinels: SentinelAddress, connect_seconds: float, answer_seconds: float, retry: Retry) -> Redis:
    """A client that asks the sentinels for the primary at each new connection."""
    options: dict[str, Any] = dict(parse_url(sentinels.url))  # type: ignore[no-untyped-call]
    options.pop("host", None)
    secure = options.pop("connection_class", None) is SSLConnection
    limits = {"socket_connect_timeout": connect_seconds, "socket_timeout": connect_seconds, "retry": retry}
    secured = {name: value for name, value in options.items() if name.startswith("ssl_")} | {"ssl": secure}
    access = limits | secured | {"password": sentinels.password}
    options |= limits | {"ssl": secure, "socket_timeout": answer_seconds}
    client: Redis = Sentinel(sentinels.hosts, sentinel_kwargs=access).master_for(sentinels.service, **options)  # type: ignore[no-untyped-call]
    return client


def primaries(client: SyncRedis) -> list[SyncRedis]:
    """A client for each server that stores keys: of a cluster, its primaries. Raises: RedisClusterException, OSError."""
    if is_cluster(client):
        return [client.get_redis_connection(node) for node in client.get_primaries()]
    return [client]
