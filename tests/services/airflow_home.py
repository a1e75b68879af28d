"""A fixture of the tests that run Airflow: its folder, prepared once."""

from __future__ import annotations

from pathlib import Path

import pytest

from skewless.local_airflow.stack import AirflowStack
from tests.checkout import DAGS


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's folder with its database migrated, once; copy it before writing to it."""
    home = tmp_path_factory.mktemp("airflow")
    AirflowStack(home, DAGS).prepare()
    return home
