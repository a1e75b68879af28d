"""The online store that a repository had before ours took its place: where it is, and what becomes of its rows.

Held by tests/project/migration/test_former_store.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import redis
import yaml

from skewless.contract.errors import SkewlessError
from skewless.contract.state_folder import STORE_FILE
from skewless.settings.process_environment import variable

KEPT = f"{STORE_FILE}.before-skewless"
_MOST = 1_000_000
"""Keys that are counted at most."""
_TIMEOUT_S = 5.0
_PORT = 6379
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SQLITE_FILE = "data/online.db"
_ANEW = (
    "`feast materialize-incremental` or `skewless materialize` fills the new rows from the tables, from the beginning"
)
_PUSHED = "Rows that were only pushed are in no table: `skewless import-feast` brings them"


@dataclass(eq=False)
class FormerStoreUnknown(SkewlessError):
    """It is not known where Feast's online store is, or there is no reader for its kind."""

    reason: str

    def __str__(self) -> str:
        return (
            f"{self.reason}; give as `store` Feast's Redis, host:port,db=0,password=${{REDIS_PASSWORD}} (as its "
            "connection_string; the variable is read from the environment), or its SQLite file, data/online.db"
        )


@dataclass(eq=False)
class FormerSecretMissing(SkewlessError):
    """A variable that the connection string of Feast's Redis names is not set."""

    name: str

    def __str__(self) -> str:
        return f"the connection string of Feast's Redis names the environment variable {self.name}, which is not set; set it"


@dataclass(frozen=True, slots=True)
class FormerRedis:
    """The Redis of Feast's store, from its `connection_string`: `host:port`, of a cluster or of sentinels several, then options
    as `ssl=true`, `db=1`, `password=...`.
    """

    hosts: tuple[tuple[str, int], ...]
    options: Mapping[str, str]
    kind: str = "redis"
    service: str = "mymaster"

    @classmethod
    def parse(cls, text: str, kind: str = "redis", service: str = "mymaster") -> FormerRedis:
        """Raises: ValueError."""
        words = [word.strip() for word in os.path.expandvars(text).split(",") if word.strip()]
        hosts = [word.partition(":") for word in words if "=" not in word] or [("localhost", ":", "")]
        pairs = [word.partition("=") for word in words if "=" in word]
        addresses = tuple((host, int(port or _PORT)) for host, _, port in hosts)
        return cls(addresses, {name.strip(): _plain(value) for name, _, value in pairs}, kind, service)

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return ",".join(f"{host}:{port}" for host, port in self.hosts)

    @property
    def url(self) -> str:
        """As SKEWLESS_REDIS_URL takes it, without user and password."""
        return self._url("")

    @property
    def secret_url(self) -> str:
        """The same with user and password; never to be shown."""
        user, password = self.options.get("username", ""), self.options.get("password")
        login = "" if password is None else f"{quote(user, safe='')}:{quote(password, safe='')}@"
        tls = {name: value for name, value in self.options.items() if name.startswith("ssl_")}
        return self._url(login) + (f"?{urlencode(tls)}" if tls else "")

    @property
    def opened_as(self) -> str:
        """What its reader opens, with its secrets."""
        return self.secret_url

    def _url(self, login: str) -> str:
        scheme = "rediss" if self.options.get("ssl", "").lower() == "true" else "redis"
        database = self.options.get("db", "0")
        match self.kind:
            case "redis_cluster":
                host, port = self.hosts[0]
                return f"{scheme}+cluster://{login}{host}:{port}"
            case "redis_sentinel":
                return f"{scheme}+sentinel://{login}{self.place}/{self.service}/{database}"
        host, port = self.hosts[0]
        return f"{scheme}://{login}{host}:{port}/{database}"

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


@dataclass(frozen=True, slots=True)
class FormerSqlite:
    """The file of Feast's SQLite store."""

    path: Path

    @property
    def place(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def opened_as(self) -> Path:
        """What its reader opens."""
        return self.path


def former_store(repo: Path, text: str | None = None) -> FormerRedis | FormerSqlite:
    """The store of a text (a connection string, or a SQLite file), or the one that the kept feature_store.yaml of the moved
    repository names. Raises: FormerStoreUnknown, FormerSecretMissing.
    """
    if text is not None:
        if "=" not in text and (text.endswith(".db") or Path(text).is_file()):
            return FormerSqlite(Path(text).expanduser().absolute())
        return _redis(text)
    file = repo / KEPT
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormerStoreUnknown(f"there is no {file}, which `skewless init --from-feast` keeps") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise FormerStoreUnknown(f"{file} is no feature_store.yaml") from None
    store = content.get("online_store") if isinstance(content, dict) else None
    options = store if isinstance(store, dict) else {"type": store or "sqlite"}
    match str(options.get("type", "sqlite")):
        case "redis":
            address = str(options.get("connection_string", f"localhost:{_PORT}"))
            return _redis(
                address, str(options.get("redis_type", "redis")), str(options.get("sentinel_master", "mymaster"))
            )
        case "sqlite" | "feast.infra.online_stores.sqlite.SqliteOnlineStore":
            return FormerSqlite(repo / os.path.expandvars(str(options.get("path", _SQLITE_FILE))))
        case kind:
            raise FormerStoreUnknown(f"the online store of {file} is {kind}, which is not read here")


def _redis(text: str, kind: str = "redis", service: str = "mymaster") -> FormerRedis:
    for braced, bare in _VARIABLE.findall(text):
        if variable(braced or bare) is None:
            raise FormerSecretMissing(braced or bare)
    try:
        return FormerRedis.parse(text, kind, service)
    except ValueError:
        raise FormerStoreUnknown("the connection string of Feast's Redis has a port that is no number") from None


def literal_password(text: str) -> bool:
    """Whether a connection string has a password itself, and not the name of a variable."""
    return bool(re.search(r"(^|,)\s*password\s*=\s*[^$,\s]", text))


def former_rows(store: Mapping[str, object], project: str) -> list[str]:
    """What becomes of the rows of an online store with these options in feature_store.yaml."""
    kind = str(store.get("type", "sqlite"))
    if kind == "redis" and store.get("redis_type", "redis") == "redis":
        return _of_redis(str(store.get("connection_string", f"localhost:{_PORT}")), project)
    where = f"{kind} ({store['path']})" if isinstance(store.get("path"), str) else kind
    lines = [f"online store: the rows in {where} stay there and are not read; {_ANEW}."]
    return [*lines, f"  {_PUSHED}."] if kind in {"redis", "sqlite"} else lines


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
        f"online store: {former.place} has {some} keys of project {project}, which stay and are not read; {_ANEW}.",
        f"  {_PUSHED}.",
        f"  export SKEWLESS_REDIS_URL={former.url}{secret}, to use that Redis; without it an embedded one is started.",
    ]


def _plain(value: str) -> str:
    """An option's value without the quotes that it has where it is JSON, as Feast reads it."""
    value = value.strip()
    if value[:1] == '"':
        try:
            return str(json.loads(value))
        except json.JSONDecodeError:
            return value
    return value
