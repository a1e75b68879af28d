"""What a repository's online store holds when ours takes its place, as sentences.

Held by tests/project/migration/test_former_store.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import redis

_MOST = 1_000_000
"""Keys that are counted at most."""
_TIMEOUT_S = 5.0
_ANEW = (
    "`feast materialize-incremental` or `skewless materialize` fills the new rows from the tables, from the beginning"
)


@dataclass(frozen=True, slots=True)
class FormerRedis:
    """The Redis of Feast's store, from its `connection_string`: `host:port`, then options as `ssl=true`, `db=1`, `password=...`."""

    host: str
    port: int
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> FormerRedis:
        """Raises: ValueError."""
        address, *options = os.path.expandvars(text).split(",")
        host, _, port = address.strip().partition(":")
        pairs = [option.strip().partition("=") for option in options]
        return cls(host, int(port or 6379), {name: value for name, _, value in pairs})

    @property
    def url(self) -> str:
        """As SKEWLESS_REDIS_URL takes it, without user and password."""
        scheme = "rediss" if self.options.get("ssl", "").lower() == "true" else "redis"
        return f"{scheme}://{self.host}:{self.port}/{self.options.get('db', '0')}"

    def entities(self, project: str) -> int:
        """How many keys of Feast's layout a project has, up to a million. Raises: redis.RedisError."""
        client = redis.Redis.from_url(
            self.url,
            username=self.options.get("username"),
            password=self.options.get("password"),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        with client:
            found = 0
            for _ in client.scan_iter(match=f"*{project}", count=10_000):
                found += 1
                if found == _MOST:
                    break
        return found


def former_rows(store: Mapping[str, object], project: str) -> list[str]:
    """What becomes of the rows of an online store with these options in feature_store.yaml."""
    kind = str(store.get("type", "sqlite"))
    if kind == "redis" and store.get("redis_type", "redis") == "redis":
        return _of_redis(str(store.get("connection_string", "localhost:6379")), project)
    where = f"{kind} ({store['path']})" if isinstance(store.get("path"), str) else kind
    return [f"online store: the rows in {where} stay there and are not read; {_ANEW}."]


def _of_redis(text: str, project: str) -> list[str]:
    try:
        former = FormerRedis.parse(text)
        rows = former.entities(project)
    except (ValueError, redis.RedisError) as error:
        unknown = (
            f"the Redis of feature_store.yaml does not answer ({type(error).__name__}), so its rows were not counted"
        )
        return [f"online store: {unknown}; they are not read. {_ANEW}."]
    some = f"{'more than ' if rows == _MOST else ''}{rows:,}"
    secret = ", with its password" if former.options.get("password") else ""
    return [
        f"online store: {former.host}:{former.port} has {some} keys of project {project}, which stay and are not read; {_ANEW}.",
        "  Rows that were only pushed are in no table: push them again, or write them to the table before.",
        f"  export SKEWLESS_REDIS_URL={former.url}{secret}, to use that Redis; without it an embedded one is started.",
    ]
