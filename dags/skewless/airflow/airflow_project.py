"""A project as its DAGs know it when Airflow reads their file: found from that file, and read without Feast, without Arrow
and without the code that fills its tables.

Held by tests/airflow/test_project_dags.py.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from skewless.airflow.dag_options import BadTimetables, DagOptions
from skewless.airflow.pools import pool
from skewless.contract.errors import SkewlessError
from skewless.contract.state_folder import DEFINITIONS, STORE_FILE
from skewless.files.state_root import find_definitions
from skewless.project import declared_models
from skewless.settings.process_environment import setting

_TABLES = "tables"


@dataclass(eq=False)
class DagProjectMissing(SkewlessError):
    """A DAG file belongs to no project."""

    file: str
    looked: str

    def __str__(self) -> str:
        return (
            f"{self.file} belongs to no project: there is no {DEFINITIONS}/{STORE_FILE} {self.looked}; keep the file in the "
            "project's dags/ folder, give timetables(globals(), project=FOLDER), or set SKEWLESS_FEATURE_REPO"
        )


@dataclass(eq=False)
class StoreFileUnreadable(SkewlessError):
    """A project's feature_store.yaml does not name the project."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} does not name the project: {self.reason}; it needs a line as `project: shop`"


@dataclass(frozen=True, slots=True)
class AirflowProject:
    """One project in an Airflow. `name` begins the names of its DAGs, pools, assets and connections; `repo` is the absolute
    folder of its definitions. `by_day`: whether it has a module `tables`; `by_hour`: whether that has tables of every hour.
    """

    name: str
    repo: Path
    models: tuple[str, ...]
    by_day: bool
    by_hour: bool
    options: DagOptions

    @classmethod
    def of(cls, repo: Path, options: DagOptions) -> AirflowProject:
        """Raises: StoreFileUnreadable, BadModels."""
        name, files = options.prefix or project_name(repo), _table_files(repo)
        models = tuple(declared_models.read(repo).models)
        by_hour = any(_may_be_hourly(call) for file in files for call in _calls(file))
        return cls(name, repo, models, bool(files), by_hour, options)

    def name_of(self, kind: str, model: str = "") -> str:
        """A DAG's name in `include`, `exclude` and `schedules`: its id without the project."""
        return f"{kind}_{model}" if model else kind

    def dag_id(self, kind: str, model: str = "") -> str:
        return f"{self.name}_{self.name_of(kind, model)}"

    def pool(self, role: str) -> str:
        """The pool of a role: `offline_store`, `online_store` or `training`."""
        return self.options.pools.get(role, pool(self.name, role))

    def schedule(self, kind: str, default: object, model: str = "") -> Any:  # noqa: ANN401 - whatever Airflow takes
        """The schedule of a DAG. Raises: BadTimetables."""
        return self.options.schedule(kind, self.name_of(kind, model), default)


def find(file: str, project: str | Path | None) -> Path:
    """The absolute folder of the definitions: of the `project` (its folder, from the DAG file's on where it is relative), else
    the nearest upward of the DAG file, else SKEWLESS_FEATURE_REPO. Raises: DagProjectMissing, BadTimetables.
    """
    here = Path(file).absolute().parent
    if project is not None:
        folder = here / Path(project).expanduser()
        for repo in (folder / DEFINITIONS, folder):
            if (repo / STORE_FILE).is_file():
                return Path(os.path.normpath(repo))
        raise BadTimetables(file, "project", f"is {folder}, which has no {DEFINITIONS}/{STORE_FILE}")
    upward = [find_definitions(folder) for folder in (here, Path(file).resolve().parent)]
    named = setting("feature_repo")
    found = next(filter(None, [*upward, Path(named).absolute() if named else None]), None)
    if found is None or not (found / STORE_FILE).is_file():
        raise DagProjectMissing(file, f"in {found}" if found else f"upward of {here}")
    return found


def project_name(repo: Path) -> str:
    """The name in feature_store.yaml, as Feast reads it. Raises: StoreFileUnreadable."""
    path = repo / STORE_FILE
    try:
        content = yaml.safe_load(os.path.expandvars(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StoreFileUnreadable(str(path), " ".join(str(error).split())) from None
    name = content.get("project") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name:
        raise StoreFileUnreadable(str(path), "it has no project")
    return name


def _table_files(repo: Path) -> list[Path]:
    package = repo / _TABLES
    return [file for file in (package.with_suffix(".py"), *sorted(package.rglob("*.py"))) if file.is_file()]


def _calls(file: Path) -> list[ast.Call]:
    """The calls in a file, which is not run: it may import anything, and open connections."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return []  # the run that fills tables says what is wrong with it
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _may_be_hourly(call: ast.Call) -> bool:
    """Whether a call says `every="hour"`, or does not say plainly that it does not."""
    table = getattr(call.func, "id", getattr(call.func, "attr", "")) == "Table"
    every = [word.value for word in call.keywords if word.arg == "every" or (table and word.arg is None)]
    return any(not isinstance(value, ast.Constant) or value.value == "hour" for value in every)
