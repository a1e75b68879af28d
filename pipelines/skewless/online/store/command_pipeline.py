"""Sends batches of commands: in one pipeline to a single server, or in one pipeline to each node of a cluster, where
redis-py's own pipeline refuses scripts.

Held by tests/online/store/test_store.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import RedisClusterException, RedisError

from skewless.contract.storage.write_protocol import RedisCommand
from skewless.online.store.redis_protocol import RedisNode, SyncRedis, SyncRedisCluster, is_cluster

_SCRIPT = "EVAL"


class CommandPipeline:
    """Sends commands that are each safe to repeat."""

    def __init__(self, client: SyncRedis) -> None:
        self._client = client
        self._loaded: dict[str, str] = {}

    def run(self, commands: Sequence[RedisCommand]) -> list[object]:
        """The replies in order. Raises: RedisError, RedisClusterException, OSError.

        In a cluster a command that fails on its node (its slot moved, the node failed over, the script is not loaded) is
        sent again by itself through the client, which follows redirections.
        """
        if is_cluster(self._client):
            return self._by_node(self._client, commands)
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command.arguments)
        return pipe.execute()

    def _by_node(self, client: SyncRedisCluster, commands: Sequence[RedisCommand]) -> list[object]:
        places_by_node: dict[RedisNode, list[int]] = {}
        for place, command in enumerate(commands):
            places_by_node.setdefault(client.get_node_from_key(command.key), []).append(place)
        replies: list[object] = [None] * len(commands)
        for node, places in places_by_node.items():
            for place, reply in zip(
                places, self._of_node(client, node, [commands[index] for index in places]), strict=True
            ):
                failed = isinstance(reply, Exception)
                replies[place] = client.execute_command(*commands[place].arguments) if failed else reply
        return replies

    def _of_node(self, client: SyncRedisCluster, node: RedisNode, commands: Sequence[RedisCommand]) -> Sequence[object]:
        """A node's replies; errors in the place of failed commands."""
        arguments = [self._by_hash(command.arguments) for command in commands]
        try:
            pipe = client.get_redis_connection(node).pipeline(transaction=False)
            for args in arguments:
                pipe.execute_command(*args)
            return pipe.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            return [error] * len(commands)

    def _by_hash(self, arguments: tuple[bytes | str | int, ...]) -> tuple[bytes | str | int, ...]:
        """The arguments with EVALSHA instead of EVAL: the script is loaded on all nodes at its first use."""
        if arguments[0] != _SCRIPT:
            return arguments
        _, script, *rest = arguments
        text = str(script)
        if text not in self._loaded:
            self._loaded[text] = self._client.script_load(text)
        return "EVALSHA", self._loaded[text], *rest
