"""A real Valkey server for tests: one per session, in memory, emptied before each test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded_valkey.RunningValkey]:
    with embedded_valkey.running(StateFolders(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: embedded_valkey.RunningValkey) -> str:
    """URL of an empty online store."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url
