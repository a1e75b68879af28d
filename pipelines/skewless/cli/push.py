"""Verbs that bring rows by themselves: push, import-feast, stream, compact."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from skewless.cli.data import Unchecked
from skewless.cli.opened import project, show
from skewless.cli.time_options import optional

verbs = typer.Typer()


@verbs.command()
def push(
    view: Annotated[str, typer.Argument(help="Feature view.")],
    file: Annotated[
        Path | None,
        typer.Argument(help="JSON, JSON Lines, CSV or Parquet. Default: stdin.", exists=True, dir_okay=False),
    ] = None,
    kind: Annotated[str | None, typer.Option("--format", help="json, csv or parquet. Default: by the suffix.")] = None,
    unchecked: Unchecked = False,
) -> None:
    """Push rows into a view's table and the online store; exit status 1 where they are not on both sides."""
    from skewless.online.push import row_files

    if row_files.format_of(kind, file) is None:
        raise typer.BadParameter("say --format json, csv or parquet: the file's suffix does not")
    chosen = cast(Literal["json", "csv", "parquet"] | None, kind)
    rows = file or sys.stdin.buffer.read()
    done = project().push(view, rows, format=chosen, unchecked=unchecked)
    raise typer.Exit(1 if done.refusal else 0)


@verbs.command()
def import_feast(
    store: Annotated[
        str | None,
        typer.Option(
            help="Feast's Redis, as host:port,password=${REDIS_PASSWORD}, or its SQLite file. Default: of the kept feature_store.yaml."
        ),
    ] = None,
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take what is imported, or older than the table's, out of Feast's store.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
) -> None:
    """Bring rows that only Feast's own online store holds into tables and online store, and read them back.

    Exit status 1 where a row does not read back as Feast's store has it, or a table took none. It may be cut short and run again.
    """
    done = project().import_feast(store, view=view, remove=remove, dry_run=dry_run)
    show(done.lines()[1:])
    raise typer.Exit(0 if done.clean else 1)


@verbs.command()
def compact(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    before: Annotated[str | None, typer.Option(help="Only parts that were written before. Default: now.")] = None,
    keep: Annotated[float, typer.Option(help="Seconds that folded parts stay for readers under way.", min=0)] = 3600,
) -> None:
    """Fold pushed parts into the days of their tables."""
    project().housekeeping.compact(view, before=optional(before), keep=timedelta(seconds=keep))


@verbs.command()
def stream(
    once: Annotated[bool, typer.Option("--once", help="Stop when there is nothing left to push.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far the consumers are, and stop.")] = False,
    batch: Annotated[int, typer.Option(help="Entries pushed together, at most.", min=1, max=100_000)] = 1_000,
    idle: Annotated[float, typer.Option(help="Seconds after which another consumer counts as dead.", min=0)] = 30,
    keep: Annotated[bool, typer.Option("--keep", help="Leave pushed entries in the stream.")] = False,
    unchecked: Unchecked = False,
) -> None:
    """Push the events of the project's Redis stream until Ctrl-C or SIGTERM."""
    store = project().store
    if status:
        show([store.stream_status()])
        return
    done = store.stream(batch=batch, idle=timedelta(seconds=idle), keep=keep, once=once, unchecked=unchecked)
    skipped = f", {done.skipped:,} gone before they were pushed" if done.skipped else ""
    show(
        [
            f"{done.rows:,} rows of {done.entries:,} entries pushed, {done.dead_lettered:,} moved to the dead letters{skipped}"
        ]
    )


@verbs.command()
def erase(
    entity: Annotated[list[str], typer.Option(help="Join key and value, as customer_id=42; several must all hold.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be erased, and do nothing.")] = False,
    settle: Annotated[float, typer.Option(help="Seconds that pushes on their way have to land.", min=0)] = 8,
) -> None:
    """Erase one subject from tables, store, streams, training sets, scores, outcomes and served logs; leaves a receipt."""
    from skewless.erasure.subject import ErasureSubject

    subject = dict(ErasureSubject.parse(entity).keys)
    erased = project().erase(subject, dry_run=dry_run, settle=timedelta(seconds=settle))
    show(erased.lines() if dry_run else erased.lines()[1:])
