"""A repository that Feast ran, for each store and version of keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from tests.feast.importing.former_repository import REDIS, SQLITE, FormerRepository


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis with a port: Feast's connection strings have no sockets."""
    with embedded_valkey.running(StateFolders(tmp_path_factory.mktemp("former")), port=0) as running:
        yield running.url


@pytest.fixture(params=["redis-2", "redis-3", "sqlite-3"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def repository(kind: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FormerRepository:
    """On Feast's stores: three rows of the table online, then pushed rows."""
    with Redis.from_url(server) as client:
        client.flushall()
    monkeypatch.setenv("SKEWLESS_REDIS_URL", server)
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FORMER_PASSWORD", "")
    folder = tmp_path / "repo"
    folder.mkdir()
    store, version = kind.split("-")
    place = server.removeprefix("redis://").partition("/")[0]
    return FormerRepository(folder, int(version), REDIS.format(place=place) if store == "redis" else SQLITE)
