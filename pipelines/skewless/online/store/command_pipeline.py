"""Commands of a trip, sent at once: in one pipeline to a single server, in one to each node of a cluster, where
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
    """Sends commands that may each be sent again."""

    def __init__(self, client: SyncRedis) -> None:
        self._client = client
        self._loaded: dict[str, str] = {}

    def run(self, commands: Sequence[RedisCommand]) -> list[object]:
        """The replies in order. Raises: RedisError, RedisClusterException, OSError.

        In a cluster a command that its node does not answer (its slot moved, the node failed over, it does not know the
        script) is sent again on its own, where the client follows redirections.
        """
        if is_cluster(self._client):
            return self._by_node(self._client, commands)
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command.words)
        return pipe.execute()

    def _by_node(self, client: SyncRedisCluster, commands: Sequence[RedisCommand]) -> list[object]:
        places_of: dict[RedisNode, list[int]] = {}
        for place, command in enumerate(commands):
            places_of.setdefault(client.get_node_from_key(command.key), []).append(place)
        replies: list[object] = [None] * len(commands)
        for node, places in places_of.items():
            for place, reply in zip(
                places, self._of_node(client, node, [commands[one] for one in places]), strict=True
            ):
                again = isinstance(reply, Exception)
                replies[place] = client.execute_command(*commands[place].words) if again else reply
        return replies

    def _of_node(self, client: SyncRedisCluster, node: RedisNode, commands: Sequence[RedisCommand]) -> Sequence[object]:
        """A node's replies; an error in place of each that it did not give."""
        words = [self._by_hash(command.words) for command in commands]
        try:
            pipe = client.get_redis_connection(node).pipeline(transaction=False)
            for some in words:
                pipe.execute_command(*some)
            return pipe.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            return [error] * len(commands)

    def _by_hash(self, words: tuple[bytes | str | int, ...]) -> tuple[bytes | str | int, ...]:
        """A script's call without its text, which all nodes have from its first call on."""
        if words[0] != _SCRIPT:
            return words
        _, script, *rest = words
        text = str(script)
        if text not in self._loaded:
            self._loaded[text] = self._client.script_load(text)
        return "EVALSHA", self._loaded[text], *rest
