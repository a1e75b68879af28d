"""What server tests get: a champion in a folder, its views in a real Redis, and a server over both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skewless.server.api.hot_exchange import HotExchange
from tests.models import tiny
from tests.models.tiny_rows import fill
from tests.services.predict_server import Live, serving, settings_of


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles 1.0.0 (with other weights: 2.0.0), to be copied or linked; nobody changes them."""
    models = tmp_path_factory.mktemp("published")
    tiny.write_bundle(models, "1.0.0")
    tiny.write_bundle(models, "2.0.0", weights=(0.5, 0.0, 0.0, 0.0, 0.0))
    return models


@pytest.fixture
def state(tmp_path: Path, published: Path) -> Path:
    """A state folder whose champion is 1.0.0."""
    folder = tmp_path / "models" / tiny.NAME
    folder.mkdir(parents=True)
    for version in ("1.0.0", "2.0.0"):
        (folder / version).symlink_to(published / tiny.NAME / version)
    tiny.promote(tmp_path / "models", "1.0.0")
    return tmp_path


@pytest.fixture
def stored(redis_url: str) -> str:
    """URL of a store that holds JFK's delays, 30 minutes old, and the age of plane N1."""
    fill(redis_url)
    return redis_url


@pytest.fixture
def live(state: Path, stored: str) -> Iterator[Live]:
    """A server at noon that answers as of other times too."""
    with serving(settings_of(state, stored, allow_as_of=True)) as server:
        yield server


@pytest.fixture
def shortcuts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the requests that are answered below ASGI."""
    found: list[str] = []
    begin = HotExchange.__init__

    def watched(exchange: HotExchange, *given: Any) -> None:
        begin(exchange, *given)
        found.append(exchange.request_id)

    monkeypatch.setattr(HotExchange, "__init__", watched)
    return found
