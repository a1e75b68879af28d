"""Commands on a whole project: init, build.

Held by tests/scaffold/test_shop.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli import data, ingest, model
from skewless.cli.time_options import now

verbs = typer.Typer()


@verbs.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the project, and of the new folder.")],
    events: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Events: a CSV, Parquet or JSON Lines file (also .gz, .zst), a folder or glob of them, or a PostgreSQL URL or "
            "the environment variable that has it. Default: a shop.",
        ),
    ] = None,
    entity: Annotated[str | None, typer.Option(help="Column of --from: whom or what an event is of.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of --from: when an event was.")] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Column of --from to predict: 0 and 1, yes and no, or COLUMN=VALUE for what counts as 1."),
    ] = None,
    table: Annotated[str | None, typer.Option(help="Table of the database, or a SELECT.")] = None,
) -> None:
    """Make a project that runs, in a new folder: definitions, tables, a model and tests."""
    from skewless.runtime.console import console
    from skewless.scaffold.events import ColumnChoices, make_from_events
    from skewless.scaffold.names import feast_name
    from skewless.scaffold.shop import make_shop

    feast_name(name)
    folder, choices = Path.cwd() / name, ColumnChoices(entity, time, label, table)
    if events is None and choices != ColumnChoices():
        raise typer.BadParameter("--entity, --time, --label and --table name parts of --from; give --from FILE")
    draft = make_shop(folder, now().date()) if events is None else make_from_events(folder, events, choices)
    console.print(f"{name}/ holds a project. {draft.story}", markup=False)
    for note in draft.notes:
        console.print(f"  {note}", markup=False)
    if draft.model is None:
        console.print("  No column is to be predicted; --label names one.", markup=False)
    if draft.database:
        console.print(f"  The database's URL, with its password, stays in the variable {draft.database}.", markup=False)
    console.print(f"next: cd {name} && skewless build", markup=False)


@verbs.command()
def build() -> None:
    """Run a project's way from definitions to served values: apply, ingest, training-set, train, publish, materialize.

    It stops at the first step that fails. Run again, it changes only what changed.
    """
    from skewless.model.training.example_request import example_request
    from skewless.model.training.training_set import TrainingSet
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console
    from skewless.runtime.settings import ProjectSettings

    data.apply_definitions()
    ingest.ingest()
    work = ProjectContext(ProjectSettings.read())
    for name in work.models.models:
        data.training_set(model=name)
        model.train(model=name)
        model.publish(model=name)
    data.materialize()
    if not work.models.models:
        console.print(
            "next: declare a model in models.py; the features are served by `feast -c feature_repo get-online-features`"
        )
        return
    console.print("next: skewless serve, and in a second terminal")
    for name, declared in work.models.models.items():
        folder = work.folders.training / work.model(name).training_set(declared.service)
        console.print(f"  {example_request(name, TrainingSet(folder))}", markup=False)
    console.print("  skewless audit")
