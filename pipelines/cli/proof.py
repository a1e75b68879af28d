"""Verbs that prove: audit, skew-price, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.instants import instant, now
from pipelines.flights import task

verbs = typer.Typer()


@verbs.command()
def audit(
    model: Annotated[str, typer.Option(help="Model whose served log is replayed.")] = task.MODEL,
    version: Annotated[str | None, typer.Option(help="Its version. Default: the champion.")] = None,
    since: Annotated[str, typer.Option("--from", help="Served from here on.")] = "1970-01-01",
    until: Annotated[str | None, typer.Option("--to", help="Served before this. Default: now.")] = None,
) -> None:
    """Replay served predictions through the join; exit status 1 where anything differs."""
    from pipelines import audit as verb
    from pipelines.console import console, step
    from pipelines.publish import champion_version
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace
    from serving.contract.bundle import open_bundle
    from serving.contract.processor import processor_features

    work = Workspace(Settings.read())
    chosen = version or champion_version(work.folders.models, model)
    bundle = open_bundle(work.folders.models / model / chosen, processor_features())
    end = instant(until) if until else now()
    with step("audit") as shown:
        log = verb.ServedLog(work.folders.served)
        found = verb.run(bundle, work.sources(bundle.plan), log, instant(since), end, report=shown.at)
        shown.result = str(found)
    for example in found.examples:
        console.print(example)
    console.print(f"report: {verb.write_report(work.folders.reports, found)}")
    raise typer.Exit(0 if found.clean else 1)


@verbs.command()
def skew_price(
    picture: Annotated[Path, typer.Option(help="Where the PNG goes.")] = Path("infra/pictures/skew-price.png"),
) -> None:
    """Measure what two common mistakes cost the example's model, and draw it."""
    from pipelines import skew_price as verb
    from pipelines.console import console, step
    from pipelines.demo import YEAR
    from pipelines.publish import champion_version
    from pipelines.settings import Settings
    from pipelines.skew_picture import draw
    from pipelines.workspace import Workspace
    from serving.contract.bundle import open_bundle
    from serving.contract.processor import processor_features

    work = Workspace(Settings.read())
    version = champion_version(work.folders.models, task.MODEL)
    bundle = open_bundle(work.folders.models / task.MODEL / version, processor_features())
    asked = verb.Task(task.LABEL, YEAR.split, task.SPINE, task.PARAMETERS, task.MIDNIGHT)
    with step("skew-price") as shown:
        scratch = work.folders.root / "skewed"
        priced = verb.run(
            work.service(task.SERVICE), work.folders.data, scratch, asked, bundle.scorer.score, report=shown.at
        )
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
