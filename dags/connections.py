"""Where the stores are, by Airflow's own means: connections of these names, and the environment where there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from pipelines.materialize import Check
    from pipelines.online import OnlineWriter
    from pipelines.settings import Settings
    from pipelines.state import State
    from pipelines.workspace import Workspace


def redis_url(connection: Connection) -> str:
    """The URL of a connection of type redis: `db`, `ssl` and `cluster` in its extra, a host that starts with / is a
    Unix socket.
    """
    extra = connection.extra_dejson
    database = extra.get("db", connection.schema)
    user = quote(connection.login or "", safe="")
    secret = f"{user}:{quote(connection.password, safe='')}@" if connection.password else ""
    host = connection.host or "localhost"
    if host.startswith("/"):
        return f"unix://{secret}{host}" + (f"?db={database}" if database else "")
    scheme = connection.conn_type.replace("_", "+").replace("-", "+")
    if scheme == "redis":
        scheme = ("rediss" if extra.get("ssl") else "redis") + ("+cluster" if extra.get("cluster") else "")
    return f"{scheme}://{secret}{host}:{connection.port or 6379}" + (f"/{database}" if database else "")


def database_url(connection: Connection) -> str:
    """The SQLAlchemy URL of a connection of type postgres."""
    return str(connection.get_uri())


def web_url(connection: Connection) -> str:
    """The URL of a connection of type http, as a webhook's: the part of the path that is secret is its password."""
    host = connection.host or "localhost"
    start = host if "://" in host else f"{connection.schema or connection.conn_type}://{host}"
    port = f":{connection.port}" if connection.port else ""
    return f"{start.rstrip('/')}{port}/{connection.password or ''}"


_URLS: dict[str, Callable[[Connection], str]] = {
    "redis": redis_url,
    "registry": database_url,
    "state": database_url,
}


def settings() -> Settings:
    """The settings of this task. Connections `skewless_redis`, `skewless_registry` and `skewless_state` go before the
    environment. They become this process's environment, where Feast's plug-ins read them: a task is a process.

    Raises: BadSetting.
    """
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from pipelines.settings import Settings, adopt

    for name, url in _URLS.items():
        try:
            adopt(f"{name}_url", url(Connection.get(f"skewless_{name}")))
        except AirflowNotFoundException:
            continue
    return Settings.read()


def workspace() -> Workspace:
    """The project of this task."""
    from pipelines.workspace import Workspace

    return Workspace(settings())


def online_store(project: str) -> tuple[OnlineWriter, State]:
    """The online store and the state database alone: without Feast, a task starts seconds earlier."""
    from pipelines import embedded
    from pipelines.online import OnlineWriter
    from pipelines.redis_connection import connect
    from pipelines.state import State

    known = settings()
    return OnlineWriter(connect(embedded.ensure(known)), project), State(known.state_url)


def expectations(work: Workspace) -> Callable[[str], dict[str, Any] | None]:
    """What is expected of the rows of each view, for `gate`."""
    from pipelines.gates import Gates

    return Gates.of(work).plain


def gate(planned: dict[str, Any]) -> Check:
    """The data-quality gate of a planned window; what is wanting goes to the task's log."""
    from pipelines.gates import Gates
    from pipelines.materialize import Window

    log, window = logging.getLogger(__name__), Window.parse(planned["window"])
    return Gates.parse(window, planned["expected"], settings().folders.quarantine).window(log.warning)
