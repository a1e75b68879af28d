"""Verbs that bring rows by themselves: push, stream, compact."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.instants import instant, now

verbs = typer.Typer()


@verbs.command()
def push(
    view: Annotated[str, typer.Argument(help="Feature view.")],
    file: Annotated[Path | None, typer.Argument(help="JSON, JSON Lines, CSV or Parquet. Default: stdin.")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="json, csv or parquet. Default: by the suffix.")] = None,
) -> None:
    """Push rows into a view's table and the online store; exit status 1 where they are not on both sides."""
    from pipelines import push as verb
    from pipelines import row_files
    from pipelines.console import step
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace
    from serving.contract.instants import to_micros

    chosen = row_files.format_of(kind, file)
    if chosen is None:
        raise typer.BadParameter("say --format json, csv or parquet: the file's suffix does not")
    work = Workspace(Settings.read())
    rows = verb.Rows(work.project, work.target(view))
    content = file.read_bytes() if file else sys.stdin.buffer.read()
    with step("push") as shown:
        received = to_micros(now())
        batch = row_files.read(rows, content, chosen, received)
        done = verb.run(work.project, rows.target, batch, work.data, work.online, received)
        shown.result = str(done)
    raise typer.Exit(1 if done.unreached else 0)


@verbs.command()
def compact(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    before: Annotated[str | None, typer.Option(help="Only parts that were written before. Default: now.")] = None,
    keep: Annotated[float, typer.Option(help="Seconds that folded parts stay for readers under way.", min=0)] = 3600,
) -> None:
    """Fold pushed parts into the days of their tables."""
    from datetime import timedelta

    from pipelines import compact as verb
    from pipelines.console import step
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace
    from serving.contract.instants import to_micros

    work = Workspace(Settings.read())
    at = to_micros(now())
    until = to_micros(instant(before)) if before else at
    tables = {source.path: source for _, source in work.stored(view or ())}
    with step("compact") as shown:
        stay = timedelta(seconds=keep)
        done = [verb.run(one, before=until, now=at, keep=stay, report=shown.at) for one in tables.values()]
        parts, rows, removed = (sum(getattr(one, what) for one in done) for what in ("parts", "rows", "removed"))
        shown.result = f"{parts:,} parts with {rows:,} rows folded, {removed:,} folded earlier removed"
