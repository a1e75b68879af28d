from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from skewless.local_airflow import process_guard
from skewless.local_airflow.stack import AirflowStack
from tests.checkout import DAGS
from tests.services.airflow_home import airflow_home

__all__ = ["airflow_home"]


@pytest.fixture(scope="session")
def facts(airflow_home: Path) -> dict[str, Any]:
    """What Airflow makes of the DAG files, in a process of its own: Airflow takes over logging and more."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.airflow.dag_facts", str(DAGS)]
    done = process_guard.run(command, AirflowStack(airflow_home, DAGS).environment, DAGS.parent)
    told = [line for line in done.stdout.splitlines() if line.startswith("facts:")]
    assert told, done.stderr
    return json.loads(told[0].removeprefix("facts:"))
