"""Verbs for the online store: up, down, status, sweep."""

from __future__ import annotations

from typing import Annotated

import typer

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
    from pipelines import embedded
    from pipelines.settings import Settings
    from serving.contract.addresses import masked

    settings = Settings.read()
    if not settings.embedded:
        typer.echo(f"nothing to start: SKEWLESS_REDIS_URL names {masked(settings.redis_url)}")
        return
    server = embedded.start(settings.folders, persistent=persist, port=port)
    typer.echo(f"{'started' if server.started else 'already running'}: {server.url} (process {server.pid})")


@verbs.command()
def down() -> None:
    """Stop the embedded Redis, if it runs."""
    from pipelines import embedded
    from pipelines.settings import Settings

    typer.echo("stopped" if embedded.stop(Settings.read().folders) else "was not running")


@verbs.command()
def status() -> None:
    """Say where everything is, and whether the embedded Redis runs."""
    from pipelines import embedded
    from pipelines.settings import Settings
    from serving.contract.addresses import masked

    settings = Settings.read()
    typer.echo(f"state folder  {settings.state}")
    typer.echo(f"definitions   {settings.feature_repo}")
    typer.echo(f"registry      {masked(settings.registry_url)}")
    typer.echo(f"state         {masked(settings.state_url)}")
    if not settings.embedded:
        typer.echo(f"online store  {masked(settings.redis_url)}")
        return
    server = embedded.status(settings.folders)
    told = f"{server.url} (embedded, process {server.pid})" if server else "embedded, not running: `skewless up`"
    typer.echo(f"online store  {told}")


@verbs.command()
def sweep() -> None:
    """Finish removing feature views whose removal from the online store was cut short."""
    from pipelines import removal
    from pipelines.console import step
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace

    work = Workspace(Settings.read())
    with step("sweep") as shown:
        removed = removal.remove(work.client, work.project, (), report=shown.at)
        shown.result = ", ".join(f"{rows:,} of {view}" for view, rows in removed.items()) or "nothing was left"
