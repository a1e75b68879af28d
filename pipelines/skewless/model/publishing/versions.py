"""The versions of a model: three numbers, each version greater than those published before it.

Held by tests/model/publishing/test_publish.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def versions(folder: Path) -> list[str]:
    """The published versions of a model, oldest first."""
    names = [entry.name for entry in folder.iterdir() if is_version(entry.name)] if folder.is_dir() else []
    return sorted(names, key=numbers)


def newest_version(folder: Path) -> str | None:
    """The newest published version of a model; None where there is none."""
    return next(reversed(versions(folder)), None)


def newest_of(names: Iterable[str]) -> str | None:
    """The greatest version of some names; None where none of them is a version."""
    return max(filter(is_version, names), key=numbers, default=None)


def is_version(name: str) -> bool:
    return _VERSION.fullmatch(name) is not None


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def next_version(version: str | None) -> str:
    """The next minor version; 1.0.0 where `version` is None."""
    if version is None:
        return "1.0.0"
    major, minor, _ = numbers(version)
    return f"{major}.{minor + 1}.0"
