"""A shop's project, and `skewless` as a person types it: words in, status and what it prints out."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from feast import FeatureStore
from redis import Redis

from skewless.server.cli import main
from tests.cli.shop_project import VIEWS, CommandResult, Shop, Skewless, begin, customer, shop


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry of the project, to be copied."""
    folder = tmp_path_factory.mktemp("shop")
    begin(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(folder))
        FeatureStore(repo_path=str(folder / "feature_repo")).apply([customer, shop, *VIEWS])
    return folder / "registry.db"


@pytest.fixture
def market(applied: Path, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The project with state and tables of its own and an empty online store."""
    begin(tmp_path)
    with closing(sqlite3.connect(applied)) as theirs, closing(sqlite3.connect(tmp_path / "registry.db")) as mine:
        theirs.backup(mine)
    monkeypatch.setenv("SKEWLESS_STATE", str(tmp_path))
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(tmp_path / "feature_repo"))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    monkeypatch.chdir(tmp_path)
    with Redis.from_url(redis_url) as redis:
        yield Shop(tmp_path, redis)


@pytest.fixture
def skewless(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Skewless:
    def run(*words: str) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["skewless", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return CommandResult(int(ended.value.code or 0), printed.out, printed.err)

    return run
