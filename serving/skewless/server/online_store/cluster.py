"""A Redis Cluster as the server asks it: one shared connection to each node, one request to each node that is asked.

Who holds which slot is asked when it is first needed, and again whenever a node is lost or sends somebody elsewhere.

Held by tests/server/online_store/test_reader_topologies.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from redis.crc import key_slot

from skewless.server.online_store.connection import (
    HandshakeRefused,
    ReconnectingClient,
    RedisAddress,
    command,
    first_word,
)

_SLOTS = command("CLUSTER", "SLOTS")
_ASKING = command("ASKING")
_PING = command("PING")
_ROUNDS = 4
_PAUSE_S = 0.05
Place = tuple[str, int]


class KeyedCommand(Protocol):
    """Something to ask about the slot of a key."""

    @property
    def key(self) -> bytes: ...


Item = TypeVar("Item", bound=KeyedCommand)


class SlotUnserved(ConnectionError):
    """No node that is known answers for a slot."""


class ClusterClient:
    """`address` is that of any one node; the others are let in the same way."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self._address, self._timeout = address, timeout_s
        self._nodes: dict[Place, ReconnectingClient] = {}
        self._slots: dict[int, Place] = {}
        self._asked = 0
        self._asking = asyncio.Lock()

    async def ask(self, items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes]) -> list[Any]:
        """The replies, one to each item, errors of single keys among them, within the time limit.

        Raises: OSError, HandshakeRefused.
        """
        replies: list[Any] = [None] * len(items)
        left: dict[int, Place | None] = dict.fromkeys(range(len(items)))
        failure: Exception | None = None
        async with asyncio.timeout(self._timeout):
            for turn in range(_ROUNDS):
                if turn or not self._slots:
                    await self._learn(turn)
                asking = self._by_node(items, left)
                answers = await asyncio.gather(
                    *[
                        self._of_node(node, [items[place] for place in places], encode, asked=asked)
                        for (node, asked), places in asking.items()
                    ],
                    return_exceptions=True,
                )
                left = {}
                for places, answer in zip(asking.values(), answers, strict=True):
                    if isinstance(answer, OSError):
                        failure = answer
                        left |= dict.fromkeys(places)
                    elif isinstance(answer, BaseException):
                        raise answer
                    else:
                        for place, reply in zip(places, answer, strict=True):
                            elsewhere, to = _elsewhere(reply)
                            if elsewhere:
                                left[place] = to
                            else:
                                replies[place] = reply
                if not left:
                    return replies
        raise failure or SlotUnserved("its slots keep moving")

    async def ping(self) -> list[Any]:
        """Whether a node answers and lets us in. Raises: OSError, HandshakeRefused."""
        async with asyncio.timeout(self._timeout):
            await self._learn(0)
            return await self._node(next(iter(self._slots.values()))).ask(_PING, 1)

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def _by_node(
        self, items: Sequence[KeyedCommand], left: dict[int, Place | None]
    ) -> dict[tuple[Place, bool], list[int]]:
        """Whom to ask for what; True where a slot is on its way and its new node is to be told so."""
        asking: dict[tuple[Place, bool], list[int]] = {}
        for place, to in left.items():
            node = to or self._slots.get(key_slot(items[place].key))
            if node is None:
                raise SlotUnserved("a slot has no node")
            asking.setdefault((node, to is not None), []).append(place)
        return asking

    async def _of_node(
        self, node: Place, items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes], *, asked: bool
    ) -> list[Any]:
        if not asked:
            return await self._node(node).ask(encode(items), len(items))
        words = b"".join([_ASKING + encode([item]) for item in items])
        return (await self._node(node).ask(words, 2 * len(items)))[1::2]

    async def _learn(self, turn: int) -> None:
        """Ask the nodes that are known, the first that answers, who holds which slot. Raises: OSError, HandshakeRefused."""
        seen = self._asked
        async with self._asking:
            if seen != self._asked and self._slots:
                return  # somebody else asked meanwhile
            if turn > 1:
                await asyncio.sleep(_PAUSE_S)
            known = [*dict.fromkeys(self._slots.values()), (self._address.host, self._address.port)]
            failure: OSError = SlotUnserved("no node answers")
            for place in known:
                try:
                    (told,) = await self._node(place).ask(_SLOTS, 1)
                except OSError as error:
                    failure = error
                    continue
                if isinstance(told, Exception):
                    raise HandshakeRefused(first_word(told))
                self._slots = self._parsed(told)
                self._asked += 1
                return
            raise failure

    def _parsed(self, told: Sequence[Any]) -> dict[int, Place]:
        """CLUSTER SLOTS: first and last slot, the primary's host and port, and more."""
        slots = {}
        for first, last, (host, port, *_), *_ in told:
            place = (host.decode() if host else self._address.host, int(port))
            slots.update(dict.fromkeys(range(first, last + 1), place))
        for place in set(self._nodes) - {*slots.values(), (self._address.host, self._address.port)}:
            self._nodes.pop(place).close()
        return slots

    def _node(self, place: Place) -> ReconnectingClient:
        node = self._nodes.get(place)
        if node is None:
            at = replace(self._address, host=place[0], port=place[1])
            node = self._nodes[place] = ReconnectingClient(at, self._timeout)
        return node


def _elsewhere(reply: object) -> tuple[bool, Place | None]:
    """Whether another node answers this; and which, where the slot is only on its way there (ASK)."""
    if not isinstance(reply, Exception):
        return False, None
    word, _, rest = str(reply).partition(" ")
    if word == "ASK":
        host, _, port = rest.split(" ")[-1].rpartition(":")
        return True, (host, int(port))
    return word in ("MOVED", "TRYAGAIN", "CLUSTERDOWN"), None
