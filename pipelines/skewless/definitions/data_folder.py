"""Where the relative paths of a project's sources start: what each offline store of ours is configured with.

Held by tests/feast/test_object_storage.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from skewless.runtime.settings import ProjectSettings


class DataFolderConfig(FeastConfigBaseModel):
    """What each offline store of ours is told: where the tables are, and what makes their rows known."""

    known_by: Literal["event_timestamp", "created_timestamp"] = "event_timestamp"
    """What makes a row known, where a view's tag `known_by` does not say. The default is Feast's own meaning."""
    data: Path | None = None
    """The folder that relative source paths start at; itself relative to the repository. Default: the state folder's."""


def data_folder(config: RepoConfig) -> Path:
    """Where relative source paths start. With an offline store that is not ours it is the repository, as in Feast."""
    store = config.offline_store
    repo = Path(config.repo_path or Path.cwd())
    if not isinstance(store, DataFolderConfig):
        return repo
    return ProjectSettings.read().folders.data if store.data is None else repo / store.data
