"""Verbs for the online store: up, down, status, runs, sweep."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.time_options import now
from skewless.contract.state_folder import STORE_FILE

if TYPE_CHECKING:
    from skewless.online.materialization.view_freshness import ViewFreshness
    from skewless.project.retained_definitions import RetainedStatus
    from skewless.runtime.settings import ProjectSettings
    from skewless.state.run_history import VerbRun

verbs = typer.Typer()


@verbs.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(help="Listen on this port of the loopback too; 0 picks a free one.", min=0, max=65535),
    ] = None,
    persist: Annotated[bool, typer.Option(help="Keep the data over a stop.")] = True,
) -> None:
    """Start the embedded Redis, unless it runs."""
    from skewless.contract.redis_urls import masked
    from skewless.online.store import embedded_valkey
    from skewless.runtime.settings import ProjectSettings

    settings = ProjectSettings.read()
    if not settings.embedded:
        typer.echo(f"nothing to start: SKEWLESS_REDIS_URL names {masked(settings.redis_url)}")
        return
    server = embedded_valkey.start(settings.folders, persistent=persist, port=port)
    typer.echo(f"{'started' if server.started else 'already running'}: {server.url} (process {server.pid})")


@verbs.command()
def down() -> None:
    """Stop the embedded Redis, if it runs."""
    from skewless.online.store import embedded_valkey
    from skewless.runtime.settings import ProjectSettings

    typer.echo("stopped" if embedded_valkey.stop(ProjectSettings.read().folders) else "was not running")


@verbs.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print only how fresh the views are, as JSON.")] = False,
    prom: Annotated[Path | None, typer.Option(help="Write that as Prometheus metrics to this file too.")] = None,
) -> None:
    """Say where everything is, whether the embedded Redis runs, and how fresh each feature view is."""
    import json

    from skewless.runtime.settings import ProjectSettings

    settings = ProjectSettings.read()
    project, views, retained = _freshness(settings)
    if prom:
        from skewless.files.durable import write_file
        from skewless.monitoring.reports.freshness_metrics import freshness_metrics

        write_file(prom, freshness_metrics(project, views))
    if as_json:
        kept = {view.stored_as: view.as_json() for view in retained}
        described = [freshness.as_json() | kept.get(freshness.view, {}) for freshness in views]
        typer.echo(json.dumps(described, indent=2))
        return
    _places(settings)
    for freshness in views:
        ages = f"materialized {_ago(freshness.watermark_age)}, newest event {_ago(freshness.newest_age)}"
        typer.echo(f"{freshness.view:<28} {ages}, last run {freshness.last_run}")
    for definition in retained:
        typer.echo(str(definition))


@verbs.command()
def runs(
    view: Annotated[str | None, typer.Option(help="Of this feature view alone.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the latest first.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List materializations: windows, rows read, written, skipped and held back, and how each run ended."""
    import msgspec

    from skewless.project.project import ProjectContext
    from skewless.runtime.settings import ProjectSettings
    from skewless.state.run_history import RunStatus

    work = ProjectContext(ProjectSettings.read())
    stored_as = view and work.stored_name(view)
    result = work.history.runs(work.project, stored_as, limit=limit)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(result)))
        return
    later: set[str] = set()
    for run in result:
        # Runs of a view take turns: a run without an end that another run follows was killed.
        typer.echo(_run(run, cut_short=run.status is RunStatus.RUNNING and run.view in later))
        later.add(run.view)
    if not result:
        typer.echo("nothing was materialized yet")


def _run(run: VerbRun, *, cut_short: bool) -> str:
    start = run.window_start.isoformat() if run.window_start else "the beginning"
    counts = run.counts
    rows = f"{counts.read:,} read, {counts.written:,} written, {counts.skipped_older:,} older"
    took = f" in {(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at else ""
    window = f"{run.started_at:%Y-%m-%d %H:%M:%S}  {run.verb} {run.view}, {start} to {run.window_end.isoformat()}: "
    status = "cut short" if cut_short else str(run.status)
    ended = f"{status}: {run.error}" if run.error else status
    return f"{window}{ended}{took}; {rows}, {counts.held_back:,} held back"


def _freshness(settings: ProjectSettings) -> tuple[str, list[ViewFreshness], list[RetainedStatus]]:
    """Of which project, and the old definitions that are kept; no view where nobody applied definitions yet."""
    from skewless.online.materialization import view_freshness
    from skewless.project.project import ProjectContext

    if not (settings.feature_repo / STORE_FILE).is_file():
        return "", [], []
    work = ProjectContext(settings)
    views = [view.stored_as for view, _ in work.definitions()]
    freshness = view_freshness.run(views, work.history, work.project, now())
    if not work.retained():
        return work.project, freshness, []
    from skewless.project import retained_definitions  # it reads tables and models, whose packages take long to import

    return work.project, freshness, retained_definitions.status(work)


def _ago(age: timedelta | None) -> str:
    return "never" if age is None else f"{timedelta(seconds=round(age.total_seconds()))} ago"


def _places(settings: ProjectSettings) -> None:
    from skewless.contract.redis_urls import masked

    typer.echo(f"state folder  {settings.state}")
    typer.echo(f"definitions   {settings.feature_repo}")
    typer.echo(f"registry      {masked(settings.registry_url)}")
    typer.echo(f"state         {masked(settings.state_url)}")
    if not settings.embedded:
        typer.echo(f"online store  {masked(settings.redis_url)} ({_answers(settings.redis_url)})")
        return
    from skewless.online.store import embedded_valkey

    server = embedded_valkey.status(settings.folders)
    address = f"{server.url} (embedded, process {server.pid})" if server else "embedded, not running: `skewless up`"
    typer.echo(f"online store  {address}")


def _answers(url: str) -> str:
    from skewless.online.store.connection import RedisUnreachable, connect

    try:
        connect(url).close()
    except RedisUnreachable as error:
        return f"not to be used: {error.reason}"
    return "answers"


@verbs.command()
def sweep() -> None:
    """Remove old definitions that no model reads any more, and finish removals that were cut short."""
    from skewless.project import retained_definitions as verb
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    with step("sweep") as progress:
        removed = verb.sweep(work, now(), report=progress.at)
        progress.result = ", ".join(f"{rows:,} of {view}" for view, rows in removed.items()) or "nothing was left"
