"""A project of real flights for the DAGs, and what the verbs leave there when they are run by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from redis import Redis

import feature_repo
from pipelines import apply, ingest, materialize
from pipelines.settings import Settings
from pipelines.workspace import Workspace

REPO = Path(feature_repo.__file__).parent
FIRST, LAST = date(2013, 2, 5), date(2013, 2, 7)
END = datetime(2013, 2, 7, tzinfo=UTC)


def by_hand(monkeypatch: Any, folder: Path, redis_url: str) -> Workspace:
    """The verbs, over all days at once."""
    monkeypatch.setenv("SKEWLESS_STATE", str(folder))
    monkeypatch.setenv("SKEWLESS_REDIS_URL", redis_url)
    apply.run(REPO)
    work = Workspace(Settings.read())
    ingest.run(work.folders.data, FIRST, LAST)
    windows = materialize.plan_windows(work.state, work.project, work.stored(), end=END)
    materialize.run(windows, work.online, work.state, work.project, clock=lambda: END)
    return work


def parquet(data: Path) -> dict[str, bytes]:
    """Every file of the offline store."""
    return {str(file.relative_to(data)): file.read_bytes() for file in sorted(data.rglob("*.parquet"))}


def online(redis_url: str) -> dict[bytes, dict[bytes, bytes]]:
    """Everything in the online store."""
    with Redis.from_url(redis_url) as client:
        return {key: client.hgetall(key) for key in client.scan_iter(count=1000)}


def watermarks(work: Workspace) -> dict[str, datetime | None]:
    return {view.stored_as: work.state.watermark(work.project, view.stored_as) for view, _ in work.stored()}
