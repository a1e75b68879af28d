"""Publishes to a model registry that is not a local folder: the bundle is built locally, then uploaded.

A published version is never replaced. But pyarrow has no conditional writes to object stores, so of two machines that
publish the same version in the same second the last one wins: assign versions in one place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skewless.contract.model.manifest import MANIFEST
from skewless.files.durable import new_folder
from skewless.model.publishing.versions import is_version, numbers, versions
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import AlreadyPublished


@contextmanager
def publishing(registry: ModelRegistry, models: Path, model: str) -> Iterator[Path]:
    """The local folder to publish in. For a remote registry that is `models`: the registry's newest version is copied there
    first, and versions that the block adds are uploaded. Raises: AlreadyPublished where the registry has another bundle of
    that version; the local one is then removed.
    """
    if registry.is_folder:
        yield Path(registry.address)
        return
    known = versions(models / model)
    remote = [version for version in registry.versions(model) if is_version(version)]
    for version in sorted(remote, key=numbers)[-1:]:
        if version not in known:
            with new_folder(models / model / version) as building:
                shutil.copytree(registry.bundle(model, version), building, dirs_exist_ok=True)
            known.append(version)
    yield models
    for version in versions(models / model):
        local, stored = models / model / version, registry.file(model, version, MANIFEST)
        if stored is None:
            registry.add(model, version, local)
        elif version not in known and stored != (local / MANIFEST).read_bytes():
            shutil.rmtree(local)
            raise AlreadyPublished(model, version)
