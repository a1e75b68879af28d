"""A server-side script on a Redis Cluster: the calls of each node in one pipeline, which redis-py's own refuses.

Held by tests/online/store/test_completeness.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

Call = tuple[Sequence[bytes], Sequence[bytes]]
"""Keys of one hash slot, at least one, and the arguments."""


class LuaClusterScript:
    """Runs one script. It must be harmless to run a call twice."""

    def __init__(self, client: RedisCluster, script: str) -> None:
        self._client: Any = client
        self._script = script
        self._sha = ""

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """The answers in order. Raises: RedisError, RedisClusterException, OSError.

        A call that its node does not answer (its slot moved, the node failed over, it does not know the script) is
        made again on its own, where the client follows redirections.
        """
        if not self._sha:
            self._sha = str(self._client.script_load(self._script))
        by_node: dict[Any, list[int]] = {}
        for place, (keys, _) in enumerate(calls):
            by_node.setdefault(self._client.get_node_from_key(keys[0]), []).append(place)
        answers: list[Any] = [None] * len(calls)
        for node, places in by_node.items():
            told = self._ask(node, [calls[place] for place in places])
            for place, answer in zip(places, told, strict=True):
                answers[place] = self._alone(calls[place]) if isinstance(answer, Exception) else answer
        return answers

    def _ask(self, node: Any, calls: Sequence[Call]) -> list[Any]:  # noqa: ANN401 - redis-py's ClusterNode
        try:
            pipe = self._client.get_redis_connection(node).pipeline(transaction=False)
            for keys, arguments in calls:
                pipe.evalsha(self._sha, len(keys), *keys, *arguments)
            answers: list[Any] = pipe.execute(raise_on_error=False)
        except (RedisError, RedisClusterException, OSError) as error:
            return [error] * len(calls)
        return answers

    def _alone(self, call: Call) -> Any:  # noqa: ANN401 - what the script answers
        keys, arguments = call
        return self._client.eval(self._script, len(keys), *keys, *arguments)
