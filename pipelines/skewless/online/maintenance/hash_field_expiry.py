"""The server's own expiry of hash fields: whether the server supports it, and what it costs in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from skewless.online.store.connection import address, primaries
from skewless.online.store.redis_errors import NoFieldExpiry, mapped
from skewless.online.store.redis_protocol import SyncRedis

_COMMANDS = ("HPEXPIRE", "HPERSIST", "HPTTL")
_COMPACT = (b"listpack", b"listpackex", b"ziplist")


def lacking(client: SyncRedis) -> tuple[str, ...]:
    """The field expiry commands that the server (of a cluster, any primary) does not have. Raises: RedisUnreachable."""
    with mapped(client):
        replies = [node.execute_command("COMMAND INFO", *_COMMANDS) for node in primaries(client)]
    infos = msgspec.convert(replies, list[list[object]])
    return tuple(name for place, name in enumerate(_COMMANDS) if not all(info[place] for info in infos))


def require(client: SyncRedis) -> None:
    """Raises: NoFieldExpiry, RedisUnreachable."""
    if missing := lacking(client):
        raise NoFieldExpiry(address(client), missing)


@dataclass(frozen=True, slots=True)
class MemoryFootprint:
    """Memory of some entities: how many, the mean bytes `each`, and how many have a compact encoding."""

    entities: int
    each: float
    compact: int

    @classmethod
    def of(cls, client: SyncRedis, keys: Sequence[bytes]) -> MemoryFootprint:
        """Of those keys that exist. Raises: RedisUnreachable."""
        with mapped(client):
            sizes = {key: size for key in keys if (size := client.memory_usage(key))}
            encodings = [client.object("encoding", key) for key in sizes]
        compact = sum(encoding in _COMPACT for encoding in encodings)
        return cls(len(sizes), sum(sizes.values()) / max(len(sizes), 1), compact)

    def cost(self, after: MemoryFootprint) -> str | None:
        """A warning about the change to `after`; None if no compact encoding was lost."""
        if after.entities - after.compact <= self.entities - self.compact:
            return None
        return (
            f"entities with deadlines lose their compact encoding on this server: of {self.entities:,} {self.compact:,} had "
            f"it, at {self.each:,.0f} bytes each; of {after.entities:,} {after.compact:,} have it now, at "
            f"{after.each:,.0f}; `skewless expire --by sweep` gives that back"
        )
