"""Verbs for the online store: up, down, status, runs, sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.opened import project

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

    opened = project()
    server = opened.store.up(port=port, persist=persist)
    if server is None:
        typer.echo(f"nothing to start: SKEWLESS_REDIS_URL names {masked(opened.settings.redis_url)}")
        return
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

    current = project().status()
    if prom:
        from skewless.files.durable import write_file
        from skewless.monitoring.reports.freshness_metrics import freshness_metrics

        write_file(prom, freshness_metrics(current.project, current.views))
    if as_json:
        typer.echo(json.dumps(current.as_json(), indent=2))
        return
    typer.echo(str(current))


@verbs.command()
def runs(
    view: Annotated[str | None, typer.Option(help="Of this feature view alone.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the latest first.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List materializations: windows, rows read, written, skipped and held back, and how each run ended."""
    import msgspec

    listed = project().store.runs(view, limit=limit)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(listed.runs)))
    else:
        typer.echo(str(listed))


@verbs.command()
def sweep() -> None:
    """Remove old definitions that no model reads any more, and finish removals that were cut short."""
    project().housekeeping.sweep()
