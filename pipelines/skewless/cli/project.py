"""Commands on a whole project: init, doctor, build.

Held by tests/scaffold/test_shop.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.opened import option, session, show

verbs = typer.Typer()
ProjectName = Annotated[
    str | None, typer.Argument(help="Name of the project, and of the new folder. With --from-feast: of a copy to move.")
]
Events = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Events: a CSV, Parquet or JSON Lines file (also .gz, .zst), a folder or glob of them, or a PostgreSQL URL or "
        "the environment variable that has it. Default: a shop.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(help="Column of --from to predict: 0 and 1, yes and no, or COLUMN=VALUE for what counts as 1."),
]
FeastRepository = Annotated[
    Path | None,
    typer.Option(help="Folder of a Feast repository: its feature_store.yaml is moved to our stores, the rest stays."),
]


@verbs.command()
def init(
    name: ProjectName = None,
    events: Events = None,
    entity: Annotated[str | None, typer.Option(help="Column of --from: whom or what an event is of.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of --from: when an event was.")] = None,
    label: Label = None,
    table: Annotated[str | None, typer.Option(help="Table of the database, or a SELECT.")] = None,
    from_feast: FeastRepository = None,
) -> None:
    """Make a project that runs, in a new folder: definitions, tables, a model and tests."""
    from skewless.sdk import projects

    parts = (entity, time, label, table)
    if from_feast is not None:
        if events is not None or any(part is not None for part in parts):
            raise typer.BadParameter("--from-feast takes a repository as it is; leave the other options out")
        _move(from_feast, name)
        return
    if name is None:
        raise typer.BadParameter("give the new project a name, as `skewless init shop`")
    if events is None and any(part is not None for part in parts):
        raise typer.BadParameter("--entity, --time, --label and --table name parts of --from; give --from FILE")
    draft = projects.init(Path.cwd() / name, events, entity=entity, time=time, label=label, table=table, spelled=option)
    show([f"{name}/ holds a project. {draft.story}", *(f"  {note}" for note in draft.notes)])
    if draft.model is None:
        show(["  No column is to be predicted; --label names one."])
    if draft.database:
        show([f"  The database's URL, with its password, stays in the variable {draft.database}."])
    show([f"next: cd {name} && skewless build"])


def _move(repository: Path, name: str | None) -> None:
    """Move a Feast repository to our stores where it is, or with a name a copy of it; print what differs."""
    import os

    from skewless.contract.state_folder import DEFINITIONS
    from skewless.runtime.console import step
    from skewless.sdk import projects

    with step("init --from-feast") as progress:
        moved = projects.move_from_feast(repository, None if name is None else Path.cwd() / name)
        repo = moved.repo
        progress.result = moved.lines()[0]
    place = os.path.relpath(repo.parent if repo.name == DEFINITIONS else repo)
    there = "" if place == "." else f"cd {place} && "
    show([*moved.lines()[1:], f"next: {there}skewless apply && skewless materialize"])


@verbs.command()
def doctor(
    from_feast: Annotated[Path, typer.Option(help="Folder of a Feast repository, moved to our stores or not.")],
) -> None:
    """Say what a Feast repository would answer otherwise on our stores, by law and view with counts, and change nothing.

    Exit status 1 where a view could not be counted, so that more may differ than is said.
    """
    from skewless.runtime.console import step
    from skewless.sdk import projects

    with step("doctor --from-feast") as progress:
        found = projects.diagnose_feast(from_feast)
        progress.result = found.lines()[0]
    show(found.lines()[1:])
    raise typer.Exit(0 if found.complete else 1)


@verbs.command()
def build() -> None:
    """Run a project's way from definitions to served values: apply, ingest, training-set, train, publish, materialize.

    It stops at the first step that fails. Run again, it changes only what changed.
    """
    from skewless.sdk import projects
    from skewless.sdk.project import Project

    current = session()
    built = projects.build(Project(current), current)
    if not built.versions:
        show(
            [
                "next: declare a model in models.py; the features are served by `feast -c feature_repo get-online-features`"
            ]
        )
        return
    requests = [f"  {line}" for line in projects.example_requests(current)]
    show(["next: skewless serve, and in a second terminal", *requests, "  skewless audit"])
