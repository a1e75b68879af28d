"""A project of real flights for the DAGs, and what the verbs leave there when they are run by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from skewless.contract.storage.catalog import catalog_key, reached_field
from skewless.online.materialization import materialize
from skewless.project import apply
from skewless.project.project import ProjectContext
from skewless.runtime.settings import ProjectSettings
from tests.checkout import FEATURE_REPO
from tests.tables.flights import FLIGHTS, fill

VIEWS = ("aircraft_static", "origin_departures", "origin_weather", "route")
FEW = VIEWS[2:]
FIRST, LAST = date(2013, 2, 5), date(2013, 2, 7)
END = datetime(2026, 1, 1, tzinfo=UTC)
"""After everything: an unpaused DAG also runs the day before today."""


def definitions(folder: Path, views: tuple[str, ...] = VIEWS) -> Path:
    """Some of the feature repository's views: each task is a process of its own."""
    imports = [f"from {view} import {view}" for view in views]
    small = f"small = FeatureService(name='small', features=[{', '.join(views)}])"
    folder.mkdir()
    shutil.copytree(FEATURE_REPO / "tables", folder / "tables", ignore=shutil.ignore_patterns("__pycache__"))
    filled = {*views, FLIGHTS.spine}
    (folder / "tables" / "__init__.py").write_text(
        f"from . import flights\n\nTABLES = [table for table in flights.tables() if table.name in {filled!r}]\n"
    )
    for name in (
        ".feastignore",
        "models.py",
        "feature_store.yaml",
        "entities.py",
        "sources.py",
        *(f"{view}.py" for view in views),
    ):
        shutil.copy(FEATURE_REPO / name, folder)
    (folder / "services.py").write_text("\n".join(["from feast import FeatureService", *imports, small]))
    return folder


def registered(folder: Path) -> Path:
    """Two views, applied: each is a task, and so a process, a partition. `feature_repo` and `registry.db` are there."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SKEWLESS_STATE", str(folder))
        apply.run(definitions(folder / "feature_repo", FEW), at=datetime.now(UTC))
    return folder


def by_hand(
    monkeypatch: pytest.MonkeyPatch, applied: Path, folder: Path, redis_url: str, last: date = LAST
) -> ProjectContext:
    """The verbs, over all days before `last` at once."""
    monkeypatch.setenv("SKEWLESS_STATE", str(folder))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    monkeypatch.setenv("SKEWLESS_FEATURE_REPO", str(applied / "feature_repo"))
    folder.mkdir()
    shutil.copy(applied / "registry.db", folder)
    work = ProjectContext(ProjectSettings.read())
    fill(work.folders.data, FIRST, last, work.tables.filled())
    windows = materialize.plan_windows(work.state, work.project, work.stored(), end=END)
    materialize.run(windows, work.online_project, clock=lambda: END + timedelta(hours=1))
    return work


def parquet(data: Path) -> dict[str, bytes]:
    """Every file of the offline store."""
    return {str(file.relative_to(data)): file.read_bytes() for file in sorted(data.rglob("*.parquet"))}


def online(redis_url: str) -> tuple[dict[bytes, dict[bytes, bytes]], set[bytes]]:
    """Everything in the online store, and apart from it up to where views are whole, which the last window says."""
    with Redis.from_url(redis_url) as client:
        found = {key: client.hgetall(key) for key in client.scan_iter(count=1000)}
    catalog = found[catalog_key("flights")]
    return found, {catalog.pop(reached_field(view)) for view in FEW}


def whole(partitions: Iterable[str]) -> set[bytes]:
    """Up to where all views are whole after the runs of these days."""
    end = max(date.fromisoformat(day) for day in partitions) + timedelta(days=1)
    return {f"{end.isoformat()}T00:00:00.000000Z".encode()}
