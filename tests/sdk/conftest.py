"""A made shop, built once: its definitions are applied, its model is published, its rows are online."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from skewless.contract.state_folder import StateFolders
from skewless.online.store import embedded_valkey
from skewless.scaffold.shop import make_shop
from skewless.sdk import Project

ENVIRONMENT = ("SKEWLESS_STATE", "SKEWLESS_FEATURE_REPO", "SKEWLESS_REDIS_URL", "SKEWLESS_MODELS")


@pytest.fixture(scope="session")
def built_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The project's folder, and the address of its online store."""
    folder = tmp_path_factory.mktemp("sdk") / "shop"
    make_shop(folder, date(2026, 3, 1))
    with (
        embedded_valkey.running(StateFolders(tmp_path_factory.mktemp("redis"))) as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name in ENVIRONMENT:
            environment.delenv(name, raising=False)
        environment.setenv("SKEWLESS_REDIS_URL", server.url)
        Project.open(folder, progress=False).build()
        yield folder, server.url


@pytest.fixture
def project(built_shop: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Project]:
    """The shop, from a program that works in another folder."""
    folder, url = built_shop
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SKEWLESS_REDIS_URL", url)
    monkeypatch.chdir(tmp_path)
    with Project.open(folder, progress=False) as opened:
        yield opened
