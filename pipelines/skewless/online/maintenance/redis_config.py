"""Warnings about settings of the Redis server that put the rows or their memory at risk."""

from __future__ import annotations

from redis.exceptions import ResponseError

from skewless.online.store.connection import primaries
from skewless.online.store.redis_errors import mapped
from skewless.online.store.redis_protocol import SyncRedis

COMPACT_BYTES = 1024
_SETTINGS = ("hash-max-listpack-value", "maxmemory", "maxmemory-policy", "appendonly", "save")


def warnings(client: SyncRedis) -> list[str]:
    """What to change in the settings of the server (of a cluster, of all its primaries). Raises: RedisUnreachable."""
    with mapped(client):
        messages: list[str] = []
        for node in primaries(client):
            try:
                settings = {name: node.config_get(name).get(name) for name in _SETTINGS}
            except ResponseError as error:
                messages.append(
                    f"the server does not allow CONFIG GET ({error}); set hash-max-listpack-value 1024 yourself"
                )
                continue
            messages += setting_warnings(settings)
    return list(dict.fromkeys(messages))


def setting_warnings(settings: dict[str, str | None]) -> list[str]:
    """What is wrong with these settings; the value None is a setting that the server does not have."""
    messages = []
    compact = settings["hash-max-listpack-value"]
    if compact is not None and int(compact) < COMPACT_BYTES:
        messages.append(
            f"hash-max-listpack-value is {compact}: rows above it lose their compact encoding and take 3.5 times the "
            f"memory; set it to {COMPACT_BYTES}"
        )
    policy = settings["maxmemory-policy"]
    if policy not in (None, "noeviction"):
        messages.append(f"maxmemory-policy is {policy}: the server may drop entities; set it to noeviction")
    if settings["appendonly"] != "yes" and not settings["save"]:
        messages.append(
            "persistence is off: a restarted server is empty, and all views are materialized from the beginning; "
            "set appendonly yes"
        )
    return messages
