"""Commands of a trip, sent at once: in one pipeline to a single server, in one to each node of a cluster, where
redis-py's own pipeline refuses scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from skewless.contract.storage.write_protocol import RedisCommand

_SCRIPT = "EVAL"


class CommandPipeline:
    """Sends commands that may each be sent again."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._client: Any = client
        self._clustered = isinstance(client, RedisCluster)
        self._loaded: dict[str, str] = {}

    def run(self, commands: Sequence[RedisCommand]) -> list[object]:
        """The replies in order. Raises: RedisError, RedisClusterException, OSError.

        In a cluster a command that its node does not answer (its slot moved, the node failed over, it does not know the
        script) is sent again on its own, where the client follows redirections.
        """
        if not self._clustered:
            pipe = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command.words)
            replies: list[object] = pipe.execute()
            return replies
        by_node: dict[Any, list[int]] = {}
        for place, command in enumerate(commands):
            by_node.setdefault(self._client.get_node_from_key(command.key), []).append(place)
        replies = [None] * len(commands)
        for node, places in by_node.items():
            for place, reply in zip(places, self._of_node(node, [commands[one] for one in places]), strict=True):
                again = isinstance(reply, Exception)
                replies[place] = self._client.execute_command(*commands[place].words) if again else reply
        return replies

    def _of_node(self, node: Any, commands: Sequence[RedisCommand]) -> Sequence[object]:  # noqa: ANN401 - redis-py's
        """A node's replies; an error in place of each that it did not give."""
        words = [self._by_hash(command.words) for command in commands]
        try:
            pipe = self._client.get_redis_connection(node).pipeline(transaction=False)
            for some in words:
                pipe.execute_command(*some)
            replies: list[object] = pipe.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            return [error] * len(commands)
        return replies

    def _by_hash(self, words: tuple[bytes | str | int, ...]) -> tuple[bytes | str | int, ...]:
        """A script's call without its text, which all nodes have from its first call on."""
        if words[0] != _SCRIPT:
            return words
        _, script, *rest = words
        text = str(script)
        if text not in self._loaded:
            self._loaded[text] = str(self._client.script_load(text))
        return "EVALSHA", self._loaded[text], *rest
