"""What who asks for the state of things is told while parts of them are away."""

from __future__ import annotations

import pytest
from feast import FeatureStore
from sqlalchemy import create_engine, make_url, text

from skewless.project.project import ProjectContext
from skewless.runtime.errors import FeastRegistryUnavailable
from skewless.runtime.settings import ProjectSettings
from tests.cli.shop_project import VIEWS, Shop, Skewless, customer, shop

ENGINES = ("read_engine", "write_engine")
NOWHERE = "postgresql://me:secret@127.0.0.1:1/registry"


@pytest.mark.parametrize("verb", ["status", "materialize", "verify", "erase --entity customer=1", "compact"])
def test_a_registry_that_is_away_is_told_in_one_line(
    market: Shop, skewless: Skewless, monkeypatch: pytest.MonkeyPatch, verb: str
):
    monkeypatch.setenv("SKEWLESS_REGISTRY_URL", NOWHERE)
    told = skewless(*verb.split())
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith("error: the Feast registry postgresql")
    assert "does not open: connection failed" in told.err
    assert "mend SKEWLESS_REGISTRY_URL" in told.err
    assert "secret" not in told.err


def test_a_registry_that_goes_away_later_is_told_too(market: Shop, postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """As a consumer of a stream finds it, which asks again from time to time."""
    monkeypatch.setenv("SKEWLESS_REGISTRY_URL", postgres_url)
    store = FeatureStore(repo_path=str(ProjectSettings.read().feature_repo))
    store.apply([customer, shop, *VIEWS])
    work, url = ProjectContext(ProjectSettings.read()), make_url(postgres_url)
    assert set(work.fresh_targets()) == {"cards", "people", "city"}
    server = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def allow(connections: bool) -> None:
        with server.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {connections}'))
            ended = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
            connection.execute(ended, {"name": url.database})

    allow(connections=False)
    try:
        with pytest.raises(FeastRegistryUnavailable):
            work.fresh_targets()
    finally:
        allow(connections=True)
    assert set(work.fresh_targets()) == {"cards", "people", "city"}
    for engine in (server, *(getattr(one.registry, kind) for one in (store, work.store) for kind in ENGINES)):
        engine.dispose()
