"""The folder that relative paths of a project's sources start from, and the configuration that names it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from skewless.runtime.settings import ProjectSettings
from skewless.runtime.store_file import of_settings
from skewless.settings.process_environment import settings_in_force


class DataFolderConfig(FeastConfigBaseModel):
    """Settings of every Skewless offline store: where the tables are, and what makes their rows known."""

    known_by: Literal["event_timestamp", "created_timestamp"] = "event_timestamp"
    """What makes a row known, where a view has no tag `known_by`. The default is Feast's own meaning."""
    data: Path | None = None
    """The folder that relative source paths start from, itself relative to the repository. Default: `data` of the state folder
    where the registry is there too (by `?plugin=skewless`), else the repository, as in Feast.
    """


def data_folder(config: RepoConfig) -> Path:
    """The folder that relative source paths start from, as `DataFolderConfig.data` says."""
    store = config.offline_store
    repo = Path(config.repo_path or Path.cwd())
    if not isinstance(store, DataFolderConfig):
        return repo
    if store.data is None and of_settings(config.registry.path):
        return settings_of(config).folders.data
    return Path(os.path.normpath(repo / (store.data or "")))


def settings_of(config: RepoConfig) -> ProjectSettings:
    """The settings of a repository's project, from whatever folder it is opened: read again where the environment or the
    working folder has changed. Raises: BadSetting.
    """
    return _settings(config.repo_path, os.getcwd(), settings_in_force())  # noqa: PTH109 - a Path costs more than the rest


@lru_cache(maxsize=32)
def _settings(repo: Path | str | None, _folder: str, _environment: tuple[tuple[str, str], ...]) -> ProjectSettings:
    return ProjectSettings.of(Path(repo)) if repo else ProjectSettings.read()
