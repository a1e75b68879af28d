"""Applying definitions, and the state of a project.

Held by tests/cli/test_apply.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from skewless.contract.redis_urls import masked
from skewless.contract.state_folder import STORE_FILE
from skewless.html.table import PageTable
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from skewless.online.materialization.view_freshness import ViewFreshness
    from skewless.project.retained_definitions import RetainedStatus
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True, repr=False)
class AppliedProject(ShownResult):
    """What `apply` did beside registering the definitions: `kept` says which old ones live models still read, `going_down`
    which models stop answering; `absent` names tables that are not filled yet, and `unreachable` is why the online store
    was not told (empty where it was).
    """

    repo: Path
    kept: list[str] = field(default_factory=list)
    going_down: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unreachable: str = ""

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [f"the registry holds the definitions of {self.repo.name}/", *self.details(), *self.absent]

    def details(self) -> list[str]:
        """What a person should know of it."""
        warning = "warning: servers refuse pushed rows of new views until a next command reaches the online store: "
        return [*self.notes, *([warning + self.unreachable] if self.unreachable else [])]


@dataclass(frozen=True, slots=True, repr=False)
class ProjectStatus(ShownResult):
    """Where everything is, and how fresh each feature view is online. `places` are by their name; `retained` are old
    definitions that live models read, or that nobody needs any more.
    """

    project: str
    places: dict[str, str]
    views: list[ViewFreshness]
    retained: list[RetainedStatus]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        views = [
            f"{one.view:<28} materialized {_ago(one.watermark_age)}, newest event {_ago(one.newest_age)}, "
            f"last run {self._last_run(one)}"
            for one in self.views
        ]
        return [*(f"{name:<13} {place}" for name, place in self.places.items()), *views, *map(str, self.retained)]

    def _last_run(self, view: ViewFreshness) -> str:
        """An old definition that cannot be read fails each time, and is listed with the reason."""
        unreadable = any(one.unreadable and one.stored_as == view.view for one in self.retained)
        return view.last_run.partition(": ")[0] if unreadable else view.last_run

    def as_json(self) -> list[dict[str, object]]:
        """How fresh the views are, as JSON-compatible values."""
        kept = {view.stored_as: view.as_json() for view in self.retained}
        return [one.as_json() | kept.get(one.view, {}) for one in self.views]

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment

        heads = ("feature view", "materialized", "newest event", "last run")
        rows = tuple(
            (one.view, _ago(one.watermark_age), _ago(one.newest_age), self._last_run(one)) for one in self.views
        )
        places = PageTable("", "", ("", "where"), tuple(self.places.items()), texts=True)
        return fragment([*map(str, self.retained)], [places, PageTable("", "", heads, rows, texts=True)])


_NO_PROJECT = f" (no {STORE_FILE} there: set SKEWLESS_FEATURE_REPO, or make a project with `skewless init NAME`)"


def apply(session: ProjectSession, *, at_once: bool, force: bool) -> AppliedProject:
    """Register the definitions. Raises: ApplyRefused, ApplyFailed."""
    from skewless.definitions.whole_seconds import whole_seconds_note
    from skewless.project import apply as verb
    from skewless.project.absent_tables import absent_tables
    from skewless.project.retained_definitions import unreadable_definitions

    repo, when = session.settings.feature_repo, session.now()
    with session.opened() as work:
        with session.step("apply") as progress:
            report = verb.run(repo, at=when, by=session.author(), now=at_once, force=force)
            unreachable = verb.update_online_store(work, when, report.dropped)
            progress.result = f"the registry holds the definitions of {repo.name}/"
        notes = [*report.lines(), *(unreadable_definitions(work) if report.retained else [])]
        seconds = whole_seconds_note(view.plan for view in work.compiled())
        notes += [seconds] if seconds else []
        absent = absent_tables(work)
    said = "" if unreachable is None else str(unreachable)
    return AppliedProject(repo, report.retained, report.going_down, notes, absent, said)


def status(session: ProjectSession) -> ProjectStatus:
    """Where everything is, and how fresh; no view where nobody applied definitions yet. Raises: StateUnreachable."""
    settings = session.settings
    if not (settings.feature_repo / STORE_FILE).is_file():
        return ProjectStatus("", _places(session), [], [])
    from skewless.online.materialization import view_freshness

    with session.opened() as work:
        names = [*(view.stored_as for view, _ in work.definitions()), *work.stored_outputs()]
        views = view_freshness.run(names, work.history, work.project, session.now())
        places = _places(session)
        if not work.retained():
            return ProjectStatus(work.project, places, views, [])
        from skewless.project import retained_definitions  # it reads tables and models: long imports

        return ProjectStatus(work.project, places, views, retained_definitions.status(work))


def _places(session: ProjectSession) -> dict[str, str]:
    from skewless.runtime.store_file import described_registry

    settings = session.settings
    places = {
        "state folder": str(settings.state),
        "definitions": f"{settings.feature_repo}{'' if (settings.feature_repo / STORE_FILE).is_file() else _NO_PROJECT}",
        "registry": described_registry(settings),
        "state": masked(settings.state_url),
    }
    return places | {"online store": _online_store(session)}


def _online_store(session: ProjectSession) -> str:
    settings = session.settings
    if not settings.embedded:
        return f"{masked(settings.redis_url)} ({_answers(settings.redis_url)})"
    from skewless.online.store import embedded_valkey

    server = embedded_valkey.status(settings.folders)
    return f"{server.url} (embedded, process {server.pid})" if server else "embedded, not running: `skewless up`"


def _answers(url: str) -> str:
    from skewless.online.store.connection import RedisUnreachable, connect

    try:
        connect(url).close()
    except RedisUnreachable as error:
        return f"not to be used: {error.reason}"
    return "answers"


def _ago(age: timedelta | None) -> str:
    return "never" if age is None else f"{timedelta(seconds=round(age.total_seconds()))} ago"
