"""The command that fills tables: ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.data import Unchecked
from skewless.cli.opened import project, show
from skewless.cli.time_options import optional

verbs = typer.Typer()


@verbs.command()
def ingest(
    table: Annotated[str | None, typer.Argument(help="Table to fill. Default: all that declare how.")] = None,
    files: Annotated[
        list[Path] | None, typer.Argument(help="CSV, JSON Lines or Parquet files with rows of it.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="First UTC day. Default: the table's `start`.")] = None,
    end: Annotated[
        str | None, typer.Option(help="First UTC day after the range. Default: the table's, or tomorrow.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column of the files and its name in the table, SOURCE=NAME; may be repeated."),
    ] = None,
    unchecked: Unchecked = False,
) -> None:
    """Fill the tables that the project's tables module declares, or one from files, a Parquet file per table and day."""
    names = dict(_renamed(text) for text in column or ())
    filled = project().ingest(
        table, files or (), start=optional(start), end=optional(end), columns=names, unchecked=unchecked
    )
    show(filled.lines()[1:])


def _renamed(text: str) -> tuple[str, str]:
    source, equals, name = text.partition("=")
    if not (source and equals and name):
        raise typer.BadParameter(f"--column {text!r} is not SOURCE=NAME, as ordered_at=event_timestamp")
    return source, name
