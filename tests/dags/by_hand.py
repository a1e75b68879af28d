"""`dag.test()` of DAGs in a process of its own: Airflow takes over logging and more."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dags
from dags import guard
from dags.stack import Stack

FOLDER = Path(dags.__file__).parent


def run(airflow_home: Path, home: Path, settings: Mapping[str, str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What `tests.dags.once` told, and all that was logged."""
    shutil.copytree(airflow_home, home)
    told = home / "told.json"
    command = [sys.executable, "-W", "ignore", "-m", "tests.dags.once", str(FOLDER), json.dumps(asked), str(told)]
    environment = Stack(home, settings=settings).environment
    done = guard.run(command, environment, FOLDER.parent)
    assert told.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(told.read_text()) | {"log": done.stdout + done.stderr}
