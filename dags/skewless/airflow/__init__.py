"""The DAGs of a project, and the assets by which DAGs of your own feed them or follow them.

A file in the project's `dags/` folder says

    from skewless.airflow import timetables

    timetables(globals())

Only DAG files and `local_airflow` import this room.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.airflow.assets import drift, offline_store, online_store, scores
    from skewless.airflow.project_dags import timetables

_EXPORTS = {
    "drift": "skewless.airflow.assets",
    "offline_store": "skewless.airflow.assets",
    "online_store": "skewless.airflow.assets",
    "scores": "skewless.airflow.assets",
    "timetables": "skewless.airflow.project_dags",
}
__all__ = ["drift", "offline_store", "online_store", "scores", "timetables"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is exported
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
