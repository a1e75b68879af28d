"""The settings of a task: from Airflow connections, and from the environment where there is no connection.

Held by tests/airflow/test_dags_of_data.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from skewless.airflow.airflow_project import AirflowProject
    from skewless.online.store.online_project import OnlineProject
    from skewless.project.project import ProjectContext
    from skewless.runtime.settings import ProjectSettings


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
    """The URL of a connection of type http, such as a webhook; its password is the secret path."""
    host = connection.host or "localhost"
    start = host if "://" in host else f"{connection.schema or connection.conn_type}://{host}"
    port = f":{connection.port}" if connection.port else ""
    return f"{start.rstrip('/')}{port}/{connection.password or ''}"


_URLS: dict[str, Callable[[Connection], str]] = {
    "redis": redis_url,
    "registry": database_url,
    "state": database_url,
}


def connection(project: str, name: str) -> Connection | None:
    """The Airflow connection of a project, else the one that all projects share; None where there is neither."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    for conn_id in (f"skewless_{project}_{name}", f"skewless_{name}"):
        try:
            return Connection.get(conn_id)
        except AirflowNotFoundException:
            continue
    return None


def settings(project: AirflowProject) -> ProjectSettings:
    """The settings of this task. The project's connections `redis`, `registry` and `state` override the environment; they
    are set in this process's environment, where Feast's plug-ins read them: a task is a process.

    Raises: BadSetting.
    """
    from skewless.runtime.settings import ProjectSettings
    from skewless.settings.process_environment import adopt

    for name, url in _URLS.items():
        if known := connection(project.name, name):
            adopt(f"{name}_url", url(known))
    if project.options.state is not None:
        adopt("state", str(project.options.state))
    adopt("feature_repo", str(project.repo))
    return ProjectSettings.of(project.repo)


def workspace(project: AirflowProject) -> ProjectContext:
    """The project of this task, opened."""
    from skewless.project.project import ProjectContext
    from skewless.runtime.feast_import import check_constructors_alone

    check_constructors_alone()
    return ProjectContext(settings(project))


def online_project(project: AirflowProject, name: str) -> OnlineProject:
    """The online store and state database alone of the Feast project `name`: without Feast, a task starts seconds earlier."""
    from skewless.online.store import embedded_valkey
    from skewless.online.store.connection import connect
    from skewless.online.store.online_project import OnlineProject
    from skewless.online.store.store import SyncOnlineStore
    from skewless.state.database import StateDatabase

    known = settings(project)
    store = SyncOnlineStore(connect(embedded_valkey.ensure(known)), name)
    return OnlineProject(name, store, StateDatabase(known.state_url))


def now() -> datetime:
    """The current time, to stamp what a run writes; a run's window never depends on it."""
    return datetime.now(UTC)
