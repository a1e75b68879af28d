"""The client of a Redis Cluster: one shared connection and one pipeline of commands to each node.

The slot map is read before the first command, and again whenever a node is lost or redirects a command.

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
    """A command about one key, whose slot decides the node."""

    @property
    def key(self) -> bytes: ...


Item = TypeVar("Item", bound=KeyedCommand)


class SlotUnserved(ConnectionError):
    """No known node serves a slot."""


class ClusterClient:
    """`address` is that of any node; the others get the same credentials."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self._address, self._timeout = address, timeout_s
        self._nodes: dict[Place, ReconnectingClient] = {}
        self._slots: dict[int, Place] = {}
        self._slots_version = 0
        self._refreshing = asyncio.Lock()

    async def execute(self, items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes]) -> list[Any]:
        """The reply to each item, errors of single keys included, within the time limit.

        Raises: OSError, HandshakeRefused.
        """
        replies: list[Any] = [None] * len(items)
        remaining: dict[int, Place | None] = dict.fromkeys(range(len(items)))
        failure: Exception | None = None
        async with asyncio.timeout(self._timeout):
            for turn in range(_ROUNDS):
                if turn or not self._slots:
                    await self._refresh_slots(turn)
                by_node = self._by_node(items, remaining)
                answers = await asyncio.gather(
                    *[
                        self._execute_on(node, [items[place] for place in places], encode, asking=asking)
                        for (node, asking), places in by_node.items()
                    ],
                    return_exceptions=True,
                )
                remaining = {}
                for places, answer in zip(by_node.values(), answers, strict=True):
                    if isinstance(answer, OSError):
                        failure = answer
                        remaining |= dict.fromkeys(places)
                    elif isinstance(answer, BaseException):
                        raise answer
                    else:
                        for place, reply in zip(places, answer, strict=True):
                            redirected, to = _redirect(reply)
                            if redirected:
                                remaining[place] = to
                            else:
                                replies[place] = reply
                if not remaining:
                    return replies
        raise failure or SlotUnserved("its slots keep moving")

    async def ping(self) -> list[Any]:
        """The reply of one node to PING. Raises: OSError, HandshakeRefused."""
        async with asyncio.timeout(self._timeout):
            await self._refresh_slots(0)
            return await self._node(next(iter(self._slots.values()))).execute(_PING, 1)

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def _by_node(
        self, items: Sequence[KeyedCommand], remaining: dict[int, Place | None]
    ) -> dict[tuple[Place, bool], list[int]]:
        """The places of the items by node, and whether they need ASKING (their slot is migrating to that node)."""
        by_node: dict[tuple[Place, bool], list[int]] = {}
        for place, to in remaining.items():
            node = to or self._slots.get(key_slot(items[place].key))
            if node is None:
                raise SlotUnserved("a slot has no node")
            by_node.setdefault((node, to is not None), []).append(place)
        return by_node

    async def _execute_on(
        self, node: Place, items: Sequence[Item], encode: Callable[[Sequence[Item]], bytes], *, asking: bool
    ) -> list[Any]:
        if not asking:
            return await self._node(node).execute(encode(items), len(items))
        commands = b"".join([_ASKING + encode([item]) for item in items])
        return (await self._node(node).execute(commands, 2 * len(items)))[1::2]

    async def _refresh_slots(self, turn: int) -> None:
        """Read the slot map from the first known node that answers. Raises: OSError, HandshakeRefused."""
        version = self._slots_version
        async with self._refreshing:
            if version != self._slots_version and self._slots:
                return  # another task read it meanwhile
            if turn > 1:
                await asyncio.sleep(_PAUSE_S)
            nodes = [*dict.fromkeys(self._slots.values()), (self._address.host, self._address.port)]
            failure: OSError = SlotUnserved("no node answers")
            for place in nodes:
                try:
                    (ranges,) = await self._node(place).execute(_SLOTS, 1)
                except OSError as error:
                    failure = error
                    continue
                if isinstance(ranges, Exception):
                    raise HandshakeRefused(first_word(ranges))
                self._slots = self._parsed(ranges)
                self._slots_version += 1
                return
            raise failure

    def _parsed(self, ranges: Sequence[Any]) -> dict[int, Place]:
        """The slot map of a CLUSTER SLOTS reply: per range first and last slot, the primary's host and port, and more."""
        slots = {}
        for first, last, (host, port, *_), *_ in ranges:
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


def _redirect(reply: object) -> tuple[bool, Place | None]:
    """Whether the reply redirects to another node; and that node where the slot is migrating there (ASK)."""
    if not isinstance(reply, Exception):
        return False, None
    word, _, rest = str(reply).partition(" ")
    if word == "ASK":
        host, _, port = rest.split(" ")[-1].rpartition(":")
        return True, (host, int(port))
    return word in ("MOVED", "TRYAGAIN", "CLUSTERDOWN"), None
