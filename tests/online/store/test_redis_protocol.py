"""redis-py's clients have the commands of the protocols, with parameters of those names."""

from __future__ import annotations

import inspect

import pytest
from redis import Redis, RedisCluster
from redis.client import Pipeline
from redis.connection import Connection, ConnectionPool

from skewless.online.store import redis_protocol as protocols

PAIRS = [
    (protocols.SyncRedis, Redis),
    (protocols.SyncRedis, RedisCluster),
    (protocols.SyncRedisCluster, RedisCluster),
    (protocols.RedisPipeline, Pipeline),
    (protocols.RedisConnection, Connection),
    (protocols.RedisConnectionPool, ConnectionPool),
]


def methods(protocol: type) -> list[str]:
    return sorted(name for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_")


@pytest.mark.parametrize(("protocol", "client"), PAIRS, ids=lambda one: one.__name__)
def test_a_client_has_the_commands_of_its_protocol(protocol: type, client: type):
    assert methods(protocol)
    for name in methods(protocol):
        theirs = inspect.signature(getattr(client, name)).parameters.values()
        open_names = any(one.kind is one.VAR_KEYWORD for one in theirs)
        for parameter in inspect.signature(getattr(protocol, name)).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                assert any(one.kind is parameter.kind for one in theirs), name
            elif parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty:
                assert open_names or parameter.name in {one.name for one in theirs}, f"{name}({parameter.name})"


def test_a_cluster_is_known_by_its_client(redis_url: str, redis_cluster):
    with Redis.from_url(redis_url) as one, redis_cluster.client() as several:
        assert not protocols.is_cluster(one)
        assert protocols.is_cluster(several)
        assert several.get_primaries()
