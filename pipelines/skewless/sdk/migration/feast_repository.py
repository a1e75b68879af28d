"""A Feast repository that is moved to our stores, or looked at.

Held by tests/project/migration/test_migration.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.sdk.results import ShownResult
from skewless.sdk.session import utc_now

if TYPE_CHECKING:
    from skewless.html.table import PageTable
    from skewless.project.migration.view_counts import AnswerDifference


@dataclass(frozen=True, slots=True, repr=False)
class MovedRepository(ShownResult):
    """A Feast repository on our stores, the old feature_store.yaml (None: it was moved before), and what differs in meaning."""

    repo: Path
    former_file: Path | None
    differences: list[str]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        former = f"; {self.former_file.name} keeps the old file" if self.former_file else " already"
        return [f"{self.repo} is on our stores{former}", *self.differences]


def move_from_feast(repository: Path, copy: Path | None = None) -> MovedRepository:
    """Move a Feast repository to our stores: its feature_store.yaml changes. With `copy`, a new folder that gets a copy of it,
    the copy's does. Raises: NoFeastRepository, StoreFileUnchanged, MigrationRefused, FormerFileDiffers, BadProjectName,
    FolderNotEmpty.
    """
    from skewless.project.migration import migration
    from skewless.project.migration.former_store import KEPT
    from skewless.scaffold.names import feast_name
    from skewless.scaffold.write import require_free

    if copy is None:
        move = migration.plan(repository, utc_now())
        repo = move.repo
        if not move.moved:
            move.make()
    else:
        feast_name(copy.name)
        require_free(copy)
        move, repo = migration.make_copy(copy, repository, utc_now())
    return MovedRepository(repo, None if move.moved else repo / KEPT, list(move.lines()))


@dataclass(frozen=True, slots=True, repr=False)
class FeastDifferences(ShownResult):
    """What a Feast repository would answer otherwise on our stores. `differences` have law, view and count; `uncounted` says
    which views were not looked at and why, and `details` is the whole as text.
    """

    repo: Path
    differences: list[AnswerDifference]
    uncounted: list[str]
    details: list[str]

    @property
    def complete(self) -> bool:
        """Whether every feature view was counted, so that nothing else differs in their tables."""
        return not self.uncounted

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        found = f"{len(self.differences)} differences" if self.differences else "no differences"
        some = f"; {len(self.uncounted)} views were not counted" if self.uncounted else ""
        return [f"{self.repo}: {found} from Feast's answers{some}", *self.details]

    def tables(self) -> list[PageTable]:
        """Law, view and count of each difference."""
        from skewless.html.table import PageTable, thousands

        rows = tuple((one.view, one.what, thousands(one.count), one.law) for one in self.differences)
        return [PageTable("", "", ("feature view", "what", "how often", "law"), rows, texts=True)] if rows else []


def diagnose_feast(repository: Path) -> FeastDifferences:
    """What `move_from_feast` says of a repository, or of one that it moved, without changing anything.

    Raises: NoFeastRepository, StoreFileUnchanged, MigrationRefused.
    """
    from skewless.project.migration import migration

    move = migration.plan(repository, utc_now())
    differences = [difference for view in move.views for difference in view.differences()]
    return FeastDifferences(move.repo, differences, move.inspection.uncounted, list(move.lines()))
