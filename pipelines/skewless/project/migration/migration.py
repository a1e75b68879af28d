"""Moves a Feast repository to our stores: its feature_store.yaml changes, and nothing else of it.

    1. the changed file is made, by lines
    2. another process imports the definitions on our stores, checks them and counts where answers will differ
    3. the old file is kept beside the new one
    4. the new file takes its place

A kill before the last step leaves the repository as it was, and running again goes on. A repository that is moved stays so.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import yaml

from skewless.contract.errors import SkewlessError
from skewless.contract.state_folder import DEFINITIONS, STATE, STORE_FILE
from skewless.files.durable import new_folder, remove_unfinished_folders, write_file
from skewless.project.migration.former_store import KEPT, former_rows
from skewless.project.migration.inspection import Inspection, InspectionRequest
from skewless.project.migration.store_file import StoreFileChange, change
from skewless.project.migration.view_counts import OnDemandInputs, ViewCounts
from skewless.runtime.feast_import import main_with_feast
from skewless.settings.process_environment import environment_with

_NOT_COPIED = shutil.ignore_patterns(".git", "__pycache__", STATE, ".venv")
_OUTPUT_LINES = 12


@dataclass(eq=False)
class NoFeastRepository(SkewlessError):
    """A folder is no Feast repository."""

    folder: str

    def __str__(self) -> str:
        return f"{self.folder} has no {STORE_FILE}, nor has its {DEFINITIONS}/; give the folder of a Feast repository"


@dataclass(eq=False)
class MigrationRefused(SkewlessError):
    """The definitions of a repository do not apply on our stores; nothing was changed."""

    repo: str
    reason: str

    def __str__(self) -> str:
        return f"{self.repo} stays as it is, for its definitions do not apply on our stores: {self.reason}"


@dataclass(eq=False)
class FormerFileDiffers(SkewlessError):
    """The place of the old feature_store.yaml is taken by another file."""

    path: str

    def __str__(self) -> str:
        return f"{self.path} has another content than {STORE_FILE} now; move it away and run this again"


@dataclass(frozen=True, slots=True)
class Migration:
    """A move that was looked at and not made yet."""

    repo: Path
    store_file: StoreFileChange
    inspection: Inspection
    former: list[str]

    @property
    def moved(self) -> bool:
        """Whether the repository is on our stores already."""
        return self.store_file.before == self.store_file.after

    @property
    def views(self) -> list[ViewCounts]:
        """The counts of the feature views, by name."""
        return sorted(self.inspection.views, key=lambda counts: counts.view)

    @property
    def on_demand(self) -> list[OnDemandInputs]:
        """The on-demand views of stored features, by name."""
        return sorted(self.inspection.on_demand, key=lambda inputs: inputs.view)

    def lines(self) -> Iterator[str]:
        """What differs in meaning, by view, and what becomes of the online store's rows."""
        for counts in self.views:
            yield from counts.lines()
        for view in self.on_demand:
            yield f"{view.view}: an on-demand view"
            yield f"  {view.difference()}"
        yield from (f"not counted: {line}" for line in self.inspection.uncounted)
        yield from self.former

    def make(self) -> Path:
        """Keep the old file and put the new one in its place; the kept file. Raises: FormerFileDiffers."""
        file = self.repo / STORE_FILE
        kept, mode = self.repo / KEPT, file.stat().st_mode & 0o777
        before = self.store_file.before.encode()
        if kept.exists() and kept.read_bytes() != before:
            raise FormerFileDiffers(str(kept))
        write_file(kept, before, mode=mode)
        write_file(file, self.store_file.after.encode(), mode=mode)
        return kept


def plan(folder: Path, at: datetime) -> Migration:
    """The move of the repository in a folder, or in its `feature_repo`; `at` is the instant of the counts.

    Raises: NoFeastRepository, StoreFileUnchanged, MigrationRefused.
    """
    repo = next((place for place in (folder, folder / DEFINITIONS) if (place / STORE_FILE).is_file()), None)
    if repo is None:
        raise NoFeastRepository(str(folder))
    repo = repo.resolve()
    text = (repo / STORE_FILE).read_bytes().decode(errors="replace")
    store_file = change(str(repo / STORE_FILE), text)
    inspection = _inspected(repo, store_file, at)
    if inspection.refused is not None:
        raise MigrationRefused(str(repo), inspection.refused)
    moved = store_file.before == store_file.after
    former = [] if moved else former_rows(store_file.store("online_store"), inspection.project)
    return Migration(repo, store_file, inspection, former)


def make_copy(folder: Path, repository: Path, at: datetime) -> tuple[Migration, Path]:
    """Copy a repository to a new folder and move the copy, which is in the folder that is returned.

    Raises: as `plan`, FileExistsError.
    """
    if not any((place / STORE_FILE).is_file() for place in (repository, repository / DEFINITIONS)):
        raise NoFeastRepository(str(repository))
    with new_folder(folder) as building:
        shutil.copytree(repository, building, ignore=_NOT_COPIED, dirs_exist_ok=True)
        try:
            migration = plan(building, at)
        except MigrationRefused as refused:
            raise MigrationRefused(str(repository), refused.reason.replace(str(building), str(repository))) from None
        if not migration.moved:
            migration.make()
        repo = folder / migration.repo.relative_to(building.resolve())
    remove_unfinished_folders(folder)
    return migration, repo


def _inspected(repo: Path, store_file: StoreFileChange, at: datetime) -> Inspection:
    """Raises: MigrationRefused."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        request = InspectionRequest(str(repo), yaml.safe_load(store_file.after), at, str(report))
        argument = msgspec.json.encode(request, enc_hook=str).decode()
        command = main_with_feast("skewless.project.migration.inspection", argument)
        variables = {"PYTHONDONTWRITEBYTECODE": "1", "SKEWLESS_STATE": folder}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment_with(variables))
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()
            raise MigrationRefused(str(repo), "\n".join(lines[-_OUTPUT_LINES:]))
        return msgspec.json.decode(report.read_bytes(), type=Inspection)
