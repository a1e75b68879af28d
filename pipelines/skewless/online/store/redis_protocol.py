"""The types of the synchronous Redis client: the commands that the pipelines send, with their replies.

redis-py annotates nearly every command as possibly returning an awaitable, and a cluster's client even less precisely.
Clients are cast to these types where they are created, in `skewless.online.store.connection`, so that no other code has
to silence the annotations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypedDict, TypeGuard, TypeVar

from redis import RedisCluster

RedisValue = bytes | str | int | float
Reply = object
Result = TypeVar("Result")
Hash = dict[bytes, bytes]
StreamPairs = list[tuple[bytes, Hash]]
"""Entries of a stream: ids and fields."""


class PendingEntryInfo(TypedDict):
    """An entry in the reply of XPENDING."""

    message_id: bytes
    times_delivered: int


class ConsumerInfo(TypedDict):
    """A consumer in the reply of XINFO CONSUMERS."""

    name: bytes
    pending: int


class ConsumerGroupInfo(TypedDict):
    """A group in the reply of XINFO GROUPS."""

    name: bytes
    consumers: int
    pending: int
    lag: int | None


class RedisRetry(Protocol):
    """How often a client tries again, and after which pauses."""

    def call_with_retry(self, do: Callable[[], Result], fail: Callable[[Exception], object]) -> Result: ...


class RedisConnection(Protocol):
    """One connection."""

    retry: RedisRetry

    def send_packed_command(self, command: Sequence[bytes], check_health: bool = ...) -> None: ...  # noqa: FBT001
    def read_response(self) -> Reply: ...
    def disconnect(self) -> None: ...


class RedisConnectionPool(Protocol):
    """A client's connection pool, with the options of its connections."""

    connection_class: type
    connection_kwargs: Mapping[str, Any]

    def get_connection(self) -> RedisConnection: ...
    def release(self, connection: RedisConnection) -> None: ...


class RedisPipeline(Protocol):
    """Commands that are sent together; `execute` returns the reply to each."""

    def execute_command(self, *words: RedisValue) -> Reply: ...
    def hmget(self, name: bytes, keys: Sequence[bytes]) -> Reply: ...
    def hsetnx(self, name: bytes, key: bytes, value: bytes) -> Reply: ...
    def hdel(self, name: bytes, *keys: bytes) -> Reply: ...
    def unlink(self, *names: bytes) -> Reply: ...
    def xadd(self, name: str, fields: Mapping[bytes, RedisValue]) -> Reply: ...
    def xack(self, name: str, groupname: str, *ids: bytes) -> Reply: ...
    def xdel(self, name: str, *ids: bytes) -> Reply: ...
    def execute(self, raise_on_error: bool = ...) -> list[Reply]: ...  # noqa: FBT001 - redis-py's signature


class SyncRedis(Protocol):
    """A client of one server or of a cluster."""

    @property
    def connection_pool(self) -> RedisConnectionPool: ...
    def close(self) -> None: ...
    def ping(self) -> Reply: ...
    def pipeline(self, transaction: bool = ...) -> RedisPipeline: ...  # noqa: FBT001 - redis-py's signature
    def execute_command(self, *words: RedisValue) -> Reply: ...
    def script_load(self, script: str) -> str: ...
    def info(self, section: str) -> dict[str, RedisValue]: ...
    def dbsize(self) -> int: ...
    def config_get(self, pattern: str) -> dict[str, str]: ...
    def memory_usage(self, key: bytes) -> int | None: ...
    def object(self, infotype: str, key: bytes) -> bytes | None: ...
    def exists(self, *names: str) -> int: ...
    def scan(self, cursor: int, match: bytes, count: int, _type: str) -> tuple[int, list[bytes]]: ...
    def scan_iter(self, match: bytes | None = ..., count: int = ..., _type: str | None = ...) -> Iterator[bytes]: ...

    def hget(self, name: bytes, key: bytes) -> bytes | None: ...
    def hmget(self, name: bytes, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def hgetall(self, name: bytes) -> Hash: ...
    def hset(self, name: bytes, key: bytes = ..., value: bytes = ..., mapping: Mapping[bytes, bytes] = ...) -> int: ...

    def xadd(self, name: str, fields: Mapping[str, RedisValue]) -> bytes: ...
    def xlen(self, name: str) -> int: ...
    def xrange(self, name: str, min: bytes, max: bytes, count: int) -> StreamPairs: ...  # noqa: A002 - redis-py's
    def xrevrange(self, name: str, *, count: int) -> StreamPairs: ...
    def xinfo_groups(self, name: str) -> list[ConsumerGroupInfo]: ...
    def xinfo_consumers(self, name: str, groupname: str) -> list[ConsumerInfo]: ...
    def xgroup_create(self, name: str, groupname: str, id: str, mkstream: bool) -> Reply: ...  # noqa: A002, FBT001
    def xgroup_delconsumer(self, name: str, groupname: str, consumername: str) -> int: ...
    def xreadgroup(
        self, groupname: str, consumername: str, streams: dict[str, str], count: int, block: int | None
    ) -> dict[bytes, list[StreamPairs]] | list[tuple[bytes, StreamPairs]] | None: ...
    def xautoclaim(
        self, name: str, groupname: str, consumername: str, min_idle_time: int, *, count: int
    ) -> tuple[bytes, StreamPairs, Sequence[bytes]]: ...
    def xpending_range(
        self,
        name: str,
        groupname: str,
        min: bytes,  # noqa: A002 - redis-py's
        max: bytes,  # noqa: A002 - as above
        count: int,
        consumername: str,
    ) -> list[PendingEntryInfo]: ...


class RedisNode(Protocol):
    """A node of a cluster."""

    name: str
    host: str
    port: int


class RedisNodesManager(Protocol):
    """A cluster client's view of the nodes: those of each slot, the primary first."""

    slots_cache: Mapping[int, Sequence[RedisNode]]

    def initialize(self) -> None: ...


class SyncRedisCluster(SyncRedis, Protocol):
    """A cluster's client."""

    nodes_manager: RedisNodesManager

    def keyslot(self, key: bytes) -> int: ...
    def get_nodes(self) -> list[RedisNode]: ...
    def get_primaries(self) -> list[RedisNode]: ...
    def get_node_from_key(self, key: bytes) -> RedisNode: ...
    def get_redis_connection(self, node: RedisNode) -> SyncRedis: ...


def is_cluster(client: SyncRedis) -> TypeGuard[SyncRedisCluster]:
    """Whether the client is that of a cluster."""
    return isinstance(client, RedisCluster)
