"""Where a model is published whose registry is no folder: here first, and then there.

A version that is there stays what it is. Object stores give pyarrow no condition to write under, so of two machines that
publish one version in the same second the last one wins: give versions out in one place.
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
    """The folder to publish in. Where the registry is elsewhere it is `models`, which knows the registry's newest
    version first, and what the block added goes to the registry. Raises: AlreadyPublished where that holds another one of
    this number; nothing is left of it then.
    """
    if registry.is_folder:
        yield Path(registry.address)
        return
    known = versions(models / model)
    there = [version for version in registry.versions(model) if is_version(version)]
    for version in sorted(there, key=numbers)[-1:]:
        if version not in known:
            with new_folder(models / model / version) as building:
                shutil.copytree(registry.bundle(model, version), building, dirs_exist_ok=True)
            known.append(version)
    yield models
    for version in versions(models / model):
        here, held = models / model / version, registry.file(model, version, MANIFEST)
        if held is None:
            registry.add(model, version, here)
        elif version not in known and held != (here / MANIFEST).read_bytes():
            shutil.rmtree(here)
            raise AlreadyPublished(model, version)
