from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.airflow.dag_folder import facts_of
from tests.checkout import DAGS
from tests.services.airflow_home import airflow_home

__all__ = ["airflow_home"]


@pytest.fixture(scope="session")
def facts(airflow_home: Path) -> dict[str, Any]:
    """What Airflow makes of the flights' DAG file."""
    return facts_of(airflow_home, DAGS)
