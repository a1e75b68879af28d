"""What every test gets: no settings of the developer's own, and real servers on request."""

from __future__ import annotations

import os

import pytest

from tests.postgres import postgres, postgres_url
from tests.valkey import redis_server, redis_url

__all__ = ["postgres", "postgres_url", "redis_server", "redis_url"]


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SKEWLESS_")]:
        monkeypatch.delenv(name)
