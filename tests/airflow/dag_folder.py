"""The `dags/` folder of a project that a test makes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from skewless.airflow.pools import POOLS, pool
from skewless.local_airflow import process_guard
from skewless.local_airflow.stack import AirflowStack
from tests.checkout import DAGS, ROOT

FILE = DAGS / "timetables.py"


def beside(repo: Path, options: str = "") -> Path:
    """The folder beside the definitions, with the one file that every project has; `options` are more of its arguments."""
    folder = repo.parent / "dags"
    folder.mkdir(exist_ok=True)
    text = FILE.read_text().replace("globals()", f"globals(), {options}" if options else "globals()")
    (folder / "project.py").write_text(text)
    return folder


def facts_of(airflow_home: Path, dags: Path) -> dict[str, Any]:
    """What Airflow makes of a folder of DAG files, in a process of its own: Airflow takes over logging and more."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.airflow.dag_facts", str(dags)]
    done = process_guard.run(command, AirflowStack(airflow_home, dags).environment, ROOT)
    told = [line for line in done.stdout.splitlines() if line.startswith("facts:")]
    assert told, done.stderr
    return json.loads(told[0].removeprefix("facts:"))


def pools(project: str) -> list[str]:
    """The pools of a project's DAGs."""
    return [pool(project, role) for role in POOLS]
