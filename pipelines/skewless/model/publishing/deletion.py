"""Deletes published versions: one that has no role, or all of a model that is retired or was never rolled out.

A deletion is a revision of the rollout first, so that no change at the same time can give the version a role; then the files
are removed. A run that was killed in between is finished by the next one.

Held by tests/model/publishing/test_rollout_steps.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from skewless.contract.errors import RolloutRefused
from skewless.contract.rollout.rollout import delete
from skewless.model.publishing.rollout_steps import ChangeAuthor, change, version_missing
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import StepInputMissing


def delete_version(registry: ModelRegistry, built: Path, model: str, version: str, author: ChangeAuthor) -> None:
    """Delete a version; `built` is the local folder in which models for a remote registry are built.

    Raises: StepInputMissing where it is not published, RolloutRefused where it has a role.
    """
    rollout = registry.rollout(model)
    known = registry.versions(model)
    if version not in known and not (rollout is not None and version in rollout.deleted):
        raise version_missing(model, version, known)
    if rollout is not None:
        change(registry, model, delete(model, version), author)
    registry.remove(model, version)
    _remove_built(registry, built / model / version)


def delete_model(registry: ModelRegistry, built: Path, model: str) -> list[str]:
    """Delete all versions of a model and its rollouts; the versions. Its name is free then, and its numbers begin anew.

    Raises: StepInputMissing where there is no such model, RolloutRefused where it is not retired.
    """
    rollout, versions = registry.rollout(model), registry.versions(model)
    if rollout is None and not versions:
        raise StepInputMissing(f"model {model!r}", "skewless publish")
    if rollout is not None and rollout.retired is None:
        raise RolloutRefused(model, f"{rollout.champion} is its champion; run `skewless models retire {model}` first")
    registry.remove_model(model)
    _remove_built(registry, built / model)
    return versions


def _remove_built(registry: ModelRegistry, folder: Path) -> None:
    """Else the next `publish` would upload what was built here again."""
    if not registry.is_folder and folder.is_dir():
        shutil.rmtree(folder)
