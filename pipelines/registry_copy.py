"""Where a model is published whose registry is no folder: here first, and then there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.versions import is_version, numbers, versions
from serving.contract.registry import Registry


@contextmanager
def publishing(registry: Registry, models: Path, model: str) -> Iterator[Path]:
    """The folder to publish in. Where the registry is elsewhere it is `models`, which knows the registry's newest
    version first, and what the block added goes to the registry.
    """
    if registry.is_folder:
        yield Path(registry.address)
        return
    known = versions(models / model)
    there = [version for version in registry.versions(model) if is_version(version)]
    for version in sorted(there, key=numbers)[-1:]:
        if version not in known:
            shutil.copytree(registry.bundle(model, version), models / model / version)
            known.append(version)
    yield models
    for version in versions(models / model):
        if version not in known or version not in there:
            registry.add(model, version, models / model / version)
