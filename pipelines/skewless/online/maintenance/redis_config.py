"""What a server's own settings do to the rows that it keeps, told as warnings."""

from __future__ import annotations

from redis.exceptions import ResponseError

from skewless.online.store.connection import primaries
from skewless.online.store.redis_errors import mapped
from skewless.online.store.redis_protocol import SyncRedis

COMPACT_BYTES = 1024
_ASKED = ("hash-max-listpack-value", "maxmemory", "maxmemory-policy", "appendonly", "save")


def warnings(client: SyncRedis) -> list[str]:
    """What should be set otherwise on the server (of a cluster, on any of its nodes). Raises: RedisUnreachable."""
    with mapped(client):
        found: list[str] = []
        for node in primaries(client):
            try:
                settings = {name: node.config_get(name).get(name) for name in _ASKED}
            except ResponseError as error:
                found.append(
                    f"the server does not tell its settings ({error}); set hash-max-listpack-value 1024 yourself"
                )
                continue
            found += told(settings)
    return list(dict.fromkeys(found))


def told(settings: dict[str, str | None]) -> list[str]:
    """What is wrong with these settings; None is one that the server does not have."""
    found = []
    compact = settings["hash-max-listpack-value"]
    if compact is not None and int(compact) < COMPACT_BYTES:
        found.append(
            f"hash-max-listpack-value is {compact}: rows above it lose their compact encoding and take 3.5 times the "
            f"memory; set it to {COMPACT_BYTES}"
        )
    policy = settings["maxmemory-policy"]
    if policy not in (None, "noeviction"):
        found.append(f"maxmemory-policy is {policy}: the server may drop entities; set it to noeviction")
    if settings["appendonly"] != "yes" and not settings["save"]:
        found.append(
            "persistence is off: a restarted server is empty, and all views are materialized from the beginning; "
            "set appendonly yes"
        )
    return found
