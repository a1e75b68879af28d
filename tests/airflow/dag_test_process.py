"""`dag.test()` of DAGs in a process of its own: Airflow takes over logging and more."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skewless.local_airflow import process_guard
from skewless.local_airflow.stack import AirflowStack
from tests.checkout import ROOT


def run(
    airflow_home: Path, home: Path, dags: Path, settings: Mapping[str, str], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """What `tests.airflow.dag_test_runs` told, and all that was logged."""
    shutil.copytree(airflow_home, home)
    told = home / "told.json"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.airflow.dag_test_runs",
        str(dags),
        json.dumps(asked),
        str(told),
    ]
    environment = AirflowStack(home, dags, settings=settings).environment
    done = process_guard.run(command, environment, ROOT)
    assert told.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(told.read_text()) | {"log": done.stdout + done.stderr}
