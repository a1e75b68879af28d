"""The server's own expiry of hash fields: whether it has it, and what it costs."""

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
    """The commands for it that the server has not (of a cluster, that any primary has not). Raises: RedisUnreachable."""
    with mapped(client):
        replies = [node.execute_command("COMMAND INFO", *_COMMANDS) for node in primaries(client)]
    known = msgspec.convert(replies, list[list[object]])
    return tuple(name for place, name in enumerate(_COMMANDS) if not all(told[place] for told in known))


def require(client: SyncRedis) -> None:
    """Raises: NoFieldExpiry, RedisUnreachable."""
    if missing := lacking(client):
        raise NoFieldExpiry(address(client), missing)


@dataclass(frozen=True, slots=True)
class MemoryFootprint:
    """What some entities take in memory, in bytes each, and how many of them are encoded compactly."""

    entities: int
    each: float
    compact: int

    @classmethod
    def of(cls, client: SyncRedis, keys: Sequence[bytes]) -> MemoryFootprint:
        """Those of these that are there. Raises: RedisUnreachable."""
        with mapped(client):
            taken = {key: size for key in keys if (size := client.memory_usage(key))}
            encodings = [client.object("encoding", key) for key in taken]
        compact = sum(encoding in _COMPACT for encoding in encodings)
        return cls(len(taken), sum(taken.values()) / max(len(taken), 1), compact)

    def cost(self, after: MemoryFootprint) -> str | None:
        """What became of it, as a warning; None where no compact encoding was lost."""
        if after.entities - after.compact <= self.entities - self.compact:
            return None
        return (
            f"entities with deadlines lose their compact encoding on this server: of {self.entities:,} {self.compact:,} had "
            f"it, at {self.each:,.0f} bytes each; of {after.entities:,} {after.compact:,} have it now, at "
            f"{after.each:,.0f}; `skewless expire --by sweep` gives that back"
        )
