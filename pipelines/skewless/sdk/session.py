"""What every method of a project starts from: settings, the clock, who runs it, and how progress is shown.

Held by tests/sdk/test_project.py.
"""

from __future__ import annotations

import getpass
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.contract.errors import SkewlessError
from skewless.contract.state_folder import STORE_FILE
from skewless.files.state_root import find_definitions
from skewless.runtime.settings import ProjectSettings
from skewless.sdk.arguments import Spelling, as_argument

if TYPE_CHECKING:
    from skewless.project.declared_models import ModelDefaults
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import ProgressStep


@dataclass(eq=False)
class ProjectNotFound(SkewlessError):
    """A folder that is in no project."""

    folder: str

    def __str__(self) -> str:
        return (
            f"there is no feature_repo/feature_store.yaml in {self.folder} or above it; name a project's folder, set "
            "SKEWLESS_FEATURE_REPO, or make a project: `skewless init NAME`"
        )


def project_settings(folder: str | Path | None) -> ProjectSettings:
    """The settings of the project of a folder, or of the working folder. Raises: ProjectNotFound, BadSetting."""
    if folder is None:
        settings = ProjectSettings.read()
        if not (settings.feature_repo / STORE_FILE).is_file():
            raise ProjectNotFound(str(Path.cwd()))
        return settings
    path = Path(folder).expanduser().absolute()
    repo = path if (path / STORE_FILE).is_file() else find_definitions(path)
    if repo is None or not path.is_dir():
        raise ProjectNotFound(str(path))
    return ProjectSettings.of(repo)


def utc_now() -> datetime:
    """The clock, read at the edge."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ProjectSession:
    """`spelled` writes an argument as its user does; `progress`: whether bars and a line for each step are printed."""

    settings: ProjectSettings
    spelled: Spelling = as_argument
    progress: bool = True

    def now(self) -> datetime:
        """The present, in UTC."""
        return utc_now()

    def author(self) -> str:
        """Who changes something, for records: the names of account and machine, of the machine alone where the system knows
        no account.
        """
        try:
            return f"{getpass.getuser()}@{platform.node()}"
        except (AttributeError, ImportError, KeyError, OSError):  # a user id without a name, or no user ids at all
            return platform.node()

    @contextmanager
    def opened(self) -> Iterator[ProjectContext]:
        """The project as its files and stores are now; what is opened of it is closed afterwards."""
        from skewless.project.project import ProjectContext

        work = ProjectContext(self.settings)
        try:
            yield work
        finally:
            work.close()

    @contextmanager
    def step(self, title: str) -> Iterator[ProgressStep]:
        """A timed step, shown unless `progress` is off."""
        from skewless.runtime.console import step

        with step(title, visible=self.progress) as running:
            yield running

    def say(self, line: str) -> None:
        """Print a line at once, unless `progress` is off."""
        if self.progress:
            from skewless.runtime.console import console

            console.print(line, markup=False)

    def declared(self, model: str | None, service: str | None = None) -> ModelDefaults:
        """The declared defaults of a model, or of the only one (on that feature service). Raises: BadModels."""
        from skewless.project import declared_models

        return declared_models.read(self.settings.feature_repo).choose(model, service, self.spelled("model"))
