"""Forgets how far views were materialized, when their rows are about to be deleted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import create_engine, delete

from pipelines import sqlite
from pipelines.state import State
from pipelines.state_schema import watermarks


def forget(url: str, project: str, views: Sequence[str]) -> None:
    """A view that is gone has no watermark: should it come back, all of its rows are new.

    Raises: StateUnreachable.
    """
    State(url).close()  # makes the tables where they are missing
    engine = sqlite.share(create_engine(url))
    gone = delete(watermarks).where(watermarks.c.project == project, watermarks.c.view.in_(views))
    with engine.begin() as connection:
        connection.execute(gone)
    engine.dispose()
