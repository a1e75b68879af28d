"""Verbs that prove: drift, skew-price, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.instants import instant, now
from pipelines.flights import task

verbs = typer.Typer()


Model = Annotated[str, typer.Option(help="Model whose served log is read.")]
Version = Annotated[str | None, typer.Option(help="Its version. Default: the champion.")]
Since = Annotated[str, typer.Option("--from", help="Served from here on.")]
Until = Annotated[str | None, typer.Option("--to", help="Served before this. Default: now.")]
Html = Annotated[Path | None, typer.Option(help="The page. Default: in the state folder's reports/.")]
Json = Annotated[Path | None, typer.Option(help="The result for machines. Default: beside the page.")]
Prom = Annotated[Path | None, typer.Option(help="Metrics in Prometheus' text format. Default: beside the page.")]


@verbs.command()
def drift(
    model: Model = task.MODEL,
    version: Version = None,
    since: Since = "1970-01-01",
    until: Until = None,
    html: Html = None,
    json: Json = None,
    prom: Prom = None,
) -> None:
    """Compare served inputs and scores with training; exit status 1 where anything drifted."""
    from pipelines import drift as verb
    from pipelines import served_drift
    from pipelines.console import console, step
    from pipelines.rollout import champion_version
    from pipelines.settings import Settings

    settings, made_at = Settings.read(), now()
    chosen = version or champion_version(settings.registry, model)
    window = verb.Window(model, chosen, instant(since), instant(until) if until else made_at)
    with step("drift") as shown:
        found = served_drift.run(settings, window)
        shown.result = str(found)
    for subject in found.alarms:
        console.print(str(subject))
    page = served_drift.write_report(settings.folders.reports, found, made_at, html=html, json=json, prom=prom)
    console.print(f"report: {page}")
    raise typer.Exit(0 if found.clean else 1)


@verbs.command()
def skew_price(
    picture: Annotated[Path, typer.Option(help="Where the PNG goes.")] = Path("infra/pictures/skew-price.png"),
) -> None:
    """Measure what two common mistakes cost the example's model, and draw it."""
    from pipelines import skew_price as verb
    from pipelines.console import console, step
    from pipelines.demo import YEAR, measured
    from pipelines.rollout import champion_version
    from pipelines.settings import Settings
    from pipelines.skew_picture import draw
    from pipelines.workspace import Workspace
    from serving.contract.bundle import open_bundle
    from serving.contract.processor import processor_features

    work = Workspace(Settings.read())
    version = champion_version(work.settings.registry, task.MODEL)
    bundle = open_bundle(work.settings.registry.bundle(task.MODEL, version), processor_features())
    with step("skew-price") as shown:
        priced = measured(work, bundle, YEAR.split, shown.at)
        shown.result = str(draw(priced, picture))
    console.print(f"numbers: {verb.save(priced, picture.parent)}")


@verbs.command()
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop the server at the end instead of leaving it.")] = False,
) -> None:
    """From raw flights to proven predictions over HTTP; exit status 1 where a check did not hold."""
    from pipelines import demo as verb
    from pipelines.console import console
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace

    stay = console.is_terminal and not leave
    raise typer.Exit(0 if verb.run(Workspace(Settings.read()), stay=stay) else 1)
