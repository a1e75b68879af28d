from __future__ import annotations

from tests.services.airflow_home import airflow_home

__all__ = ["airflow_home"]
