"""A scratch project with our three plug-ins: definitions, tables, a registry and a real online store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from skewless.online.store.embedded_valkey import RunningValkey
from tests.services.spark import spark
from tests.tables.scratch_project import DEFINITIONS, STORE, ScratchProject

__all__ = ["spark"]


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory, redis_server: RunningValkey) -> ScratchProject:
    """Applied by Feast's CLI, without tables."""
    folder = tmp_path_factory.mktemp("scratch")
    project = ScratchProject(folder / "feature_repo", folder / ".skewless", redis_server.url)
    project.repo.mkdir()
    (project.repo / "feature_store.yaml").write_text(STORE)
    (project.repo / "definitions.py").write_text(DEFINITIONS)
    project.feast("apply")
    return project


@pytest.fixture
def project(applied: ScratchProject, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ScratchProject:
    """The applied project with state and tables of its own and an empty online store."""
    mine = ScratchProject(applied.repo, tmp_path / ".skewless", redis_url)
    mine.state.mkdir()
    (mine.state / "registry.db").write_bytes((applied.state / "registry.db").read_bytes())
    for name, value in mine.environment.items():
        monkeypatch.setenv(name, value)
    return mine


@pytest.fixture
def redis(project: ScratchProject) -> Iterator[Redis]:
    with Redis.from_url(project.redis_url) as client:
        yield client
