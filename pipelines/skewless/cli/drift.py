"""Verbs that prove: drift, skew-price, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.time_options import instant, now
from skewless.demo import task

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
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.monitoring.drift import drift as verb
    from skewless.monitoring.drift import served_window
    from skewless.monitoring.reports.drift_files import write_report
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    settings, made_at = ProjectSettings.read(), now()
    chosen = version or champion_version(settings.registry, model)
    window = verb.ServedWindow(model, chosen, instant(since), instant(until) if until else made_at)
    with step("drift") as shown:
        found = served_window.run(settings, window)
        shown.result = str(found)
    for subject in found.alarms:
        console.print(str(subject))
    page = write_report(settings.folders.reports, found, made_at, html=html, json=json, prom=prom)
    console.print(f"report: {page}")
    raise typer.Exit(0 if found.clean else 1)


@verbs.command()
def skew_price(
    picture: Annotated[Path, typer.Option(help="Where the PNG goes.")] = Path("infra/pictures/skew-price.png"),
) -> None:
    """Measure what two common mistakes cost the example's model, and draw it."""
    from skewless.contract.model.bundle import open_bundle
    from skewless.contract.model.cpu_features import processor_features
    from skewless.demo import skew_price as verb
    from skewless.demo.demo import YEAR, measured
    from skewless.demo.skew_picture import draw
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = Project(ProjectSettings.read())
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
    from skewless.demo import demo as verb
    from skewless.project.project import Project
    from skewless.runtime.console import console
    from skewless.runtime.settings import ProjectSettings

    stay = console.is_terminal and not leave
    raise typer.Exit(0 if verb.run(Project(ProjectSettings.read()), stay=stay) else 1)
