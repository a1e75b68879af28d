"""The registry that a feature_store.yaml names, read without Feast and without SQLAlchemy."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from skewless.contract.errors import SkewlessError
from skewless.contract.redis_urls import masked
from skewless.contract.state_folder import STORE_FILE
from skewless.runtime.settings import ProjectSettings

_OURS = re.compile(r"^[^#\n]*path:[^#\n]*plugin=skewless", re.MULTILINE)


@dataclass(eq=False)
class BadStoreFile(SkewlessError):
    """A feature_store.yaml that cannot be read."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be read: {self.reason}"


@dataclass(eq=False)
class FeatureRepoMissing(SkewlessError):
    """The folder in the settings is not a feature repository."""

    folder: str

    def __str__(self) -> str:
        return (
            f"{self.folder} has no feature_store.yaml; set SKEWLESS_FEATURE_REPO to the definitions' folder, or make a project "
            "with `skewless init NAME`"
        )


def require_definitions(repo: Path) -> Path:
    """The folder, which is a feature repository. Raises: FeatureRepoMissing."""
    if not (repo / STORE_FILE).is_file():
        raise FeatureRepoMissing(str(repo))
    return repo


def of_settings(path: object) -> bool:
    """Whether a registry of feature_store.yaml is the one of the settings, by our plug-in of SQLAlchemy."""
    return isinstance(path, str) and "plugin=skewless" in path


def described_registry(settings: ProjectSettings) -> str:
    """The registry that the definitions use, for people: of the settings, or as feature_store.yaml names it, without passwords.

    Raises: BadStoreFile.
    """
    file = settings.feature_repo / STORE_FILE
    if not file.is_file():
        return masked(settings.registry_url)
    content = _content(file)
    if content is None:
        return masked(settings.registry_url)
    registry = content.get("registry") if isinstance(content, dict) else None
    path = registry.get("path") if isinstance(registry, dict) else registry
    if of_settings(path):
        return masked(settings.registry_url)
    if not isinstance(path, str):
        return f"as {file} says"
    if "://" not in path:
        return str(settings.feature_repo / path)
    return masked(path)


def _content(file: Path) -> object:
    """What the file says; None where it names our plug-in: then it need not be parsed, since `status` is to be fast.

    Raises: BadStoreFile.
    """
    try:
        text = file.read_text()
    except UnicodeDecodeError as error:
        raise BadStoreFile(str(file), str(error)) from None
    if _OURS.search(text):
        return None
    import yaml  # noqa: PLC0415 - see above

    try:
        return yaml.safe_load(os.path.expandvars(text)) or {}
    except yaml.YAMLError as error:
        raise BadStoreFile(str(file), " ".join(str(error).split())) from None
