"""Whole projects: made in a new folder, brought from Feast, and run from definitions to served values.

Held by tests/scaffold/test_shop.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.html.table import PageTable, thousands
from skewless.sdk.arguments import BadArgument, Spelling, as_argument
from skewless.sdk.results import ShownResult
from skewless.sdk.session import utc_now

if TYPE_CHECKING:
    from skewless.feast.importing.import_result import ImportResult
    from skewless.project.migration.view_counts import AnswerDifference
    from skewless.scaffold.draft import ProjectDraft
    from skewless.sdk.definitions import AppliedProject
    from skewless.sdk.online import MaterializedViews
    from skewless.sdk.project import Project
    from skewless.sdk.publishing import PublishedVersion
    from skewless.sdk.session import ProjectSession
    from skewless.sdk.tables import FilledTables


@dataclass(frozen=True, slots=True, repr=False)
class BuiltProject(ShownResult):
    """What a build did, step by step; a version for each declared model."""

    applied: AppliedProject
    filled: FilledTables
    versions: list[PublishedVersion]
    materialized: MaterializedViews

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [line for step in (self.filled, *self.versions, self.materialized) for line in step.lines()]


def init(
    folder: Path,
    events: str | Path | None,
    *,
    entity: str | None = None,
    time: str | None = None,
    label: str | None = None,
    table: str | None = None,
    spelled: Spelling = as_argument,
) -> ProjectDraft:
    """Make a project in a new folder. Raises: BadArgument, BadProjectName, FolderNotEmpty, EventsUnreadable, BadEventColumn."""
    from skewless.scaffold.events import ColumnChoices, make_from_events
    from skewless.scaffold.names import feast_name
    from skewless.scaffold.shop import make_shop

    feast_name(folder.name)
    choices = ColumnChoices(entity, time, label, table, spelled)
    if events is None and choices != ColumnChoices(spelled=spelled):
        given = next(name for name in ("entity", "time", "label", "table") if getattr(choices, name) is not None)
        raise BadArgument(spelled(given), f"names a part of the events; give {spelled('events')} too")
    if events is None:
        return make_shop(folder, utc_now().date())
    return make_from_events(folder, str(events), choices)


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
        rows = tuple((one.view, one.what, thousands(one.count), one.law) for one in self.differences)
        return [PageTable("", "", ("feature view", "what", "how often", "law"), rows, texts=True)] if rows else []


def diagnose_feast(repository: Path) -> FeastDifferences:
    """What `move_from_feast` says of a repository, or of one that it moved, without changing anything.

    Raises: NoFeastRepository, StoreFileUnchanged, MigrationRefused.
    """
    from skewless.project.migration import migration

    move = migration.plan(repository, utc_now())
    differences = [difference for view in move.views for difference in view.differences()]
    differences += [view.difference() for view in move.on_demand]
    return FeastDifferences(move.repo, differences, move.inspection.uncounted, list(move.lines()))


@dataclass(frozen=True, slots=True, repr=False)
class ImportedFeastRows(ShownResult):
    """What was brought from Feast's online store at `place`, and what was not and why, by feature view."""

    place: str
    result: ImportResult

    @property
    def clean(self) -> bool:
        """Whether nothing that should have been imported was refused, and all reads back as Feast's store has it."""
        return self.result.clean

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        first, *others = self.result.lines()
        return [f"{self.place}: {first}", *others]

    def tables(self) -> list[PageTable]:
        """The counts by view."""
        heads = ("feature view", "imported", "as the table has them", "older", "corrected", "removed")
        rows = tuple(
            (one.view, *map(thousands, (one.imported, one.known, one.older, one.corrected, one.removed)))
            for one in self.result.views
        )
        return [PageTable("", "", heads, rows)] if rows else []


def import_feast(
    session: ProjectSession, store: str | None, views: Sequence[str], *, remove: bool, dry_run: bool
) -> ImportedFeastRows:
    """Import what is only in Feast's store. Raises: BadArgument, FormerStoreUnknown, FormerSecretMissing,
    FormerStoreUnreachable, UnknownFeatureView, RedisUnreachable, StoreFull, TableRefused, LockBusy.
    """
    from skewless.feast.importing.import_rows import FeastImport, ImportTarget
    from skewless.feast.importing.opened_store import opened_store
    from skewless.project.migration.former_store import former_store, literal_password

    if store is not None and literal_password(store):
        reason = "has a password, which others could read; name a variable: password=${REDIS_PASSWORD}"
        raise BadArgument(session.spelled("store"), reason)
    if remove and dry_run:
        raise BadArgument(session.spelled("dry_run"), f"changes nothing; leave out {session.spelled('remove')}")
    with session.opened() as work:
        former = former_store(work.settings.feature_repo, store)
        push_targets = work.targets()
        targets = [ImportTarget.of(view, source, push_targets) for view, source in work.stored(views)]
        own_fields = [view.stored_as.encode() for view, _ in work.definitions()]
        opened = opened_store(former.place, former.opened_as, work.project, own_fields)
        with session.step("import-feast") as progress, opened as open_rows:
            run = FeastImport(work.online_project, work.data, session.now, remove, dry_run, progress.at)
            done = ImportedFeastRows(former.place, run.run(targets, open_rows, work.stored_outputs()))
            progress.result = done.lines()[0]
    return done


def build(project: Project, session: ProjectSession) -> BuiltProject:
    """All steps, one after the other. A model whose champion was rolled back keeps it. Raises: what the first that fails raises."""
    from skewless.model.publishing.rollout_steps import rollback_in_force

    applied = project.apply()
    _say(session, applied.details())
    filled = project.ingest()
    _say(session, filled.lines()[1:])
    versions = []
    for name in session.declared(None).project.models:
        _say(session, project.training_set(model=name).lines()[1:])
        project.train(model=name)
        rollback = rollback_in_force(session.settings.registry, name)
        versions.append(project.publish(model=name, promote=rollback is None))
        _say(session, versions[-1].notes)
        if rollback is not None:
            kept = f"{rollback.by} rolled back at {rollback.at} ({rollback.reason}), and a build does not undo that"
            _say(
                session,
                [f"{name} {versions[-1].version} is not promoted: {kept}; `skewless models promote {name} ...` does"],
            )
    materialized = project.materialize()
    _say(session, materialized.lines()[1:])
    return BuiltProject(applied, filled, versions, materialized)


def _say(session: ProjectSession, lines: Iterable[str]) -> None:
    for line in lines:
        session.say(line)


def example_requests(session: ProjectSession) -> list[str]:
    """A `curl` line for each declared model, with a row of its training set. Raises: StepInputMissing."""
    from skewless.model.training.example_request import example_request
    from skewless.model.training.training_set import TrainingSet

    requests = []
    for name, declared in session.declared(None).project.models.items():
        folder = session.settings.folders.training / session.declared(name).training_set(declared.service)
        requests.append(example_request(name, TrainingSet(folder)))
    return requests
