"""A project whose rows are stale after two hours."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from skewless.state.database import StateDatabase
from tests.tables.view_project import AGING, ViewProject


@pytest.fixture
def project(tmp_path: Path, state: StateDatabase, redis: Redis) -> ViewProject:
    return ViewProject(tmp_path / "data", state, redis, AGING)
