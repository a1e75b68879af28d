"""How hard hypothesis tries here (enough to find what hurts, in well under a minute), and a bundle to harm."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("contract", max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("contract")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle; not to be touched."""
    from tests.models.bundles import publish

    folder = tmp_path_factory.mktemp("bundle")
    publish(folder)
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A bundle to harm."""
    return Path(shutil.copytree(published, tmp_path / "bundle"))
