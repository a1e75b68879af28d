"""Where to look for the state folder and the definitions."""

from __future__ import annotations

import os
from pathlib import Path

from skewless.contract.state_folder import DEFINITIONS, STATE, STORE_FILE


def find_definitions(cwd: Path) -> Path | None:
    """The nearest feature repository from the absolute `cwd` upward: a folder itself, under whatever name, or its
    `feature_repo`.
    """
    for folder in (cwd, *cwd.parents):
        if (folder / STORE_FILE).is_file():
            return folder
        if (folder / DEFINITIONS / STORE_FILE).is_file():
            return folder / DEFINITIONS
    return None


def find_root(cwd: Path, given: Path | None = None) -> Path:
    """The state folder: `given` if any (relative to the absolute `cwd`), else `.skewless` beside the definitions.

    Where no definitions are found upward of `cwd` it is `.skewless` in `cwd`. The answer is absolute.
    """
    if given is not None:
        return Path(os.path.normpath(cwd / given.expanduser()))
    definitions = find_definitions(cwd)
    return root_of(definitions) if definitions else cwd / STATE


def root_of(definitions: Path) -> Path:
    """The state folder of the definitions in a folder: beside it, or in it where it has a name of its own."""
    return (definitions.parent if definitions.name == DEFINITIONS else definitions) / STATE
