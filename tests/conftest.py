"""What every test gets: no settings of the developer's own, and real servers on request."""

from __future__ import annotations

import os
import signal

# Feast makes every metric of a process that imports it a file on disk that all tests would share, and of its children:
# so this comes before Feast, and before what a parent process (of pytest-xdist's workers) has inherited counts.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
import prometheus_client.values  # noqa: F401
import pytest
from hypothesis import settings

from tests.services.postgres import postgres, postgres_url
from tests.services.valkey import redis_server, redis_url
from tests.services.valkey_cluster import cluster, redis_cluster
from tests.services.valkey_sentinel import redis_sentinel, watched

__all__ = [
    "cluster",
    "postgres",
    "postgres_url",
    "redis_cluster",
    "redis_sentinel",
    "redis_server",
    "redis_url",
    "watched",
]


# How long an example takes says more of the machine's other users than of us; each test has a time limit.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


def pytest_configure() -> None:
    """Whoever ends the tests by TERM ends what they started, as by Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SKEWLESS_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)  # Feast sets it when it is imported
