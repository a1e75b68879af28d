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
    """Nobody answers at `url` (its password masked) as a Redis that lets us in."""

    transient = True

    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the online store at {self.url} is not to be used: {self.reason}; start it (`skewless up` starts the "
            "embedded one), or mend SKEWLESS_REDIS_URL"
        )


def connect(url: str, *, connect_seconds: float = CONNECT_SECONDS, answer_seconds: float = ANSWER_SECONDS) -> SyncRedis:
    """A client that answered a PING just now and gives up after `answer_seconds` on each later command.

    `redis+cluster://host:port` (TLS: `rediss+cluster://`) is a Redis Cluster, of which any one node is named;
    `redis+sentinel://host:port,host:port/service` is whoever these sentinels say is the primary now.
    A command is repeated twice after a broken connection: every write of ours may be repeated.

    Raises:
        RedisUnreachable: wrong address, password, TLS or protocol.
    """
    retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), retries=2)
    try:
        # redis-py's annotations are of no use to callers: see `redis_protocol`.
        client = cast("SyncRedis", _client(url, connect_seconds, answer_seconds, retry))
        client.ping()
    except AuthenticationError as error:
        raise RedisUnreachable(masked(url), f"it refuses the password or asks for one ({error})") from error
    except (RedisError, RedisClusterException, OSError, ValueError) as error:
        raise RedisUnreachable(masked(url), str(error)) from error
    return client


def address(client: SyncRedis) -> str:
    """The URL that a client was made of, without user and password."""
    if is_cluster(client):
        node = client.get_nodes()[0]
        return f"redis+cluster://{node.host}:{node.port}"
    pool, known_to_sentinels = client.connection_pool, _sentinel_pool(client.connection_pool)
    if known_to_sentinels is not None:
        told = [one.connection_pool.connection_kwargs for one in known_to_sentinels.sentinel_manager.sentinels]
        hosts = ",".join(f"{kept['host']}:{kept['port']}" for kept in told)
        return f"redis+sentinel://{hosts}/{known_to_sentinels.service_name}"
    kept, secure = pool.connection_kwargs, issubclass(pool.connection_class, SSLConnection)
    if "path" in kept:
        return f"unix://{kept['path']}"
    return f"{'rediss' if secure else 'redis'}://{kept.get('host')}:{kept.get('port')}/{kept.get('db') or 0}"


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
    """A client whose every new connection asks the sentinels for the primary."""
    options: dict[str, Any] = dict(parse_url(sentinels.url))  # type: ignore[no-untyped-call]
    options.pop("host", None)
    secure = options.pop("connection_class", None) is SSLConnection
    limits = {"socket_connect_timeout": connect_seconds, "socket_timeout": connect_seconds, "retry": retry}
    secured = {name: value for name, value in options.items() if name.startswith("ssl_")} | {"ssl": secure}
    asked = limits | secured | {"password": sentinels.password}
    options |= limits | {"ssl": secure, "socket_timeout": answer_seconds}
    found: Redis = Sentinel(sentinels.hosts, sentinel_kwargs=asked).master_for(sentinels.service, **options)  # type: ignore[no-untyped-call]
    return found


def primaries(client: SyncRedis) -> list[SyncRedis]:
    """A client for each server that holds keys: of a cluster, its primaries. Raises: RedisClusterException, OSError."""
    if is_cluster(client):
        return [client.get_redis_connection(node) for node in client.get_primaries()]
    return [client]
