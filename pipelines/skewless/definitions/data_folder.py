"""The folder that relative paths of a project's sources start from, and the configuration that names it.

Held by tests/feast/test_object_storage.py.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from skewless.runtime.settings import ProjectSettings
from skewless.settings.process_environment import settings_in_force


class DataFolderConfig(FeastConfigBaseModel):
    """Settings of every Skewless offline store: where the tables are, and what makes their rows known."""

    known_by: Literal["event_timestamp", "created_timestamp"] = "event_timestamp"
    """What makes a row known, where a view has no tag `known_by`. The default is Feast's own meaning."""
    data: Path | None = None
    """The folder that relative source paths start at; itself relative to the repository. Default: the state folder's."""


def data_folder(config: RepoConfig) -> Path:
    """The folder that relative source paths start from: with another offline store the repository, as in Feast."""
    store = config.offline_store
    repo = Path(config.repo_path or Path.cwd())
    if not isinstance(store, DataFolderConfig):
        return repo
    return settings_of(config).folders.data if store.data is None else repo / store.data


def settings_of(config: RepoConfig) -> ProjectSettings:
    """The settings of a repository's project, from whatever folder it is opened: read again where the environment or the
    working folder has changed. Raises: BadSetting.
    """
    return _settings(config.repo_path, os.getcwd(), settings_in_force())  # noqa: PTH109 - a Path costs more than the rest


@lru_cache(maxsize=32)
def _settings(repo: Path | str | None, _folder: str, _environment: tuple[tuple[str, str], ...]) -> ProjectSettings:
    return ProjectSettings.of(Path(repo)) if repo else ProjectSettings.read()
