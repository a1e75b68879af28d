"""Whole projects: made in a new folder, and run from definitions to served values.

Held by tests/scaffold/test_shop.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.sdk.arguments import BadArgument, Spelling, as_argument
from skewless.sdk.results import ShownResult
from skewless.sdk.session import utc_now

if TYPE_CHECKING:
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
