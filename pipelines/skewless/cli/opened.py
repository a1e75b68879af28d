"""The project that a command works on, and what is printed of results.

Held by tests/cli/test_data.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skewless.sdk.project import Project
    from skewless.sdk.session import ProjectSession

_WORDS = {
    "max_score_difference": "max-score-difference",
    "inputs": "input",
    "outputs": "output",
    "since": "from",
    "until": "to",
    "columns": "column",
    "events": "from",
}
"""Options that are named otherwise than the argument."""


def option(name: str) -> str:
    """An argument as the command line writes it."""
    return f"--{_WORDS.get(name, name).replace('_', '-')}"


def session(*, progress: bool = True) -> ProjectSession:
    """The working folder's project, whether there are definitions or not. Raises: BadSetting."""
    from skewless.runtime.settings import ProjectSettings
    from skewless.sdk.session import ProjectSession

    return ProjectSession(ProjectSettings.read(), option, progress)


def project(*, progress: bool = True) -> Project:
    """The same, to work on."""
    from skewless.sdk.project import Project

    return Project(session(progress=progress))


def show(lines: Iterable[str]) -> None:
    """Print lines as they are."""
    from skewless.runtime.console import console

    for line in lines:
        console.print(line, markup=False)
