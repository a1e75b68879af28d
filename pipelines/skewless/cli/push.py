"""Verbs that bring rows by themselves: push, stream, compact."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.data import Unchecked
from skewless.cli.time_options import instant, now
from skewless.contract.errors import SkewlessError

if TYPE_CHECKING:
    from skewless.online.push.stream import StreamLimits, StreamResult
    from skewless.online.push.stream_entries import StreamEntries
    from skewless.project.project import ProjectContext

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
    from skewless.contract.timestamps import to_micros
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.push import push as verb
    from skewless.online.push import row_files
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    chosen = row_files.format_of(kind, file)
    if chosen is None:
        raise typer.BadParameter("say --format json, csv or parquet: the file's suffix does not")
    work = ProjectContext(ProjectSettings.read())
    rows = verb.PushedRows(work.project, work.target(view))
    content = file.read_bytes() if file else sys.stdin.buffer.read()
    with step("push") as progress:
        received = to_micros(now())
        batch = row_files.read(rows, content, chosen, received)
        check = verb.unchecked if unchecked else QualityGates.of_pushed(work, view).push_check(view)
        done = verb.run(work.project, rows.target, batch, work.data, work.online, received, check)
        progress.result = str(done)
    raise typer.Exit(1 if done.refusal else 0)


@verbs.command()
def compact(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    before: Annotated[str | None, typer.Option(help="Only parts that were written before. Default: now.")] = None,
    keep: Annotated[float, typer.Option(help="Seconds that folded parts stay for readers under way.", min=0)] = 3600,
) -> None:
    """Fold pushed parts into the days of their tables."""
    from datetime import timedelta

    from skewless.contract.timestamps import to_micros
    from skewless.offline.tables import compaction as verb
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    at = to_micros(now())
    until = to_micros(instant(before)) if before else at
    tables = {source.path: source for _, source in work.definitions(view or ())}
    with step("compact") as progress:
        stay = timedelta(seconds=keep)
        done = [verb.run(table, before=until, now=at, keep=stay, report=progress.at) for table in tables.values()]
        parts, rows, removed = (sum(getattr(counts, name) for counts in done) for name in ("parts", "rows", "removed"))
        progress.result = f"{parts:,} parts with {rows:,} rows folded, {removed:,} folded earlier removed"


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
    import os
    import socket
    from datetime import timedelta
    from uuid import uuid4

    from skewless.online.push.stream import StreamLimits
    from skewless.online.push.stream_entries import StreamEntries
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    entries = StreamEntries(work.client, work.project, name, keep=keep)
    if status:
        console.print(f"{entries.key}: {entries.status()}")
        return
    limits = StreamLimits(batch=batch, idle=timedelta(seconds=idle))
    done = _consume(work, entries, limits, f"{name} reads {entries.key}", once, unchecked)
    entries.leave()
    skipped = f", {done.skipped:,} gone before they were pushed" if done.skipped else ""
    console.print(
        f"{done.rows:,} rows of {done.entries:,} entries pushed, {done.dead_lettered:,} moved to the dead letters{skipped}"
    )


def _consume(
    work: ProjectContext, entries: StreamEntries, limits: StreamLimits, begun: str, once: bool, unchecked: bool
) -> StreamResult:
    import stamina.instrumentation

    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.push import push
    from skewless.online.push.stop_signal import StopSignal
    from skewless.online.push.stream import StreamConsumer
    from skewless.runtime.console import console

    def check_of(view: str) -> push.Check:
        return push.unchecked if unchecked else QualityGates.of_pushed(work, view).push_check(view)

    def on_outage(error: SkewlessError) -> None:
        console.print(f"waiting: {error}", markup=False)

    stamina.instrumentation.set_on_retry_hooks([])  # it would log each of the tries
    find = work.fresh_targets
    consumer = StreamConsumer(work.project, work.data, work.online, entries, find, now, limits, check_of, on_outage)
    with StopSignal() as stopping:
        console.print(begun)
        return consumer.run(stopping, once=once)


@verbs.command()
def erase(
    entity: Annotated[list[str], typer.Option(help="Join key and value, as customer_id=42; several must all hold.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be erased, and do nothing.")] = False,
    settle: Annotated[float, typer.Option(help="Seconds that pushes on their way have to land.", min=0)] = 8,
) -> None:
    """Erase one subject from tables, store, streams, training sets, outcomes and served logs; leaves a receipt."""
    from datetime import timedelta

    from skewless.erasure import erase as verb
    from skewless.erasure.subject import ErasureSubject
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    subject = ErasureSubject.parse(entity)
    stored, registry = tuple(work.definitions()), work.settings.registry
    places = verb.ErasurePlaces(
        *(work.folders, work.data, work.project, stored, work.client, registry, work.state), work.stored_outputs()
    )
    if dry_run:
        for line in verb.plan(subject, places).lines():
            console.print(line)
        return
    with step("erase") as progress:
        receipt, path = verb.run(subject, places, now, settle=timedelta(seconds=settle), report=progress.at)
        progress.result = str(receipt)
    console.print(f"receipt: {path}")
