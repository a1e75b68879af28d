"""The command that compares served predictions with training.

Held by tests/monitoring/drift/test_drift.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.model_defaults import declared
from skewless.cli.time_options import instant, now

verbs = typer.Typer()


Model = Annotated[str | None, typer.Option(help="Model whose served log is read. Default: models.py's only one.")]
Version = Annotated[str | None, typer.Option(help="Its version. Default: the champion.")]
Since = Annotated[str, typer.Option("--from", help="Served at or after this time.")]
Until = Annotated[str | None, typer.Option("--to", help="Served before this time. Default: now.")]
Html = Annotated[Path | None, typer.Option(help="The page. Default: in the state folder's reports/.")]
Json = Annotated[Path | None, typer.Option(help="The result as JSON. Default: beside the page.")]
Prom = Annotated[Path | None, typer.Option(help="Metrics in Prometheus' text format. Default: beside the page.")]


@verbs.command()
def drift(
    model: Model = None,
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

    settings, created_at, model = ProjectSettings.read(), now(), declared(model).name()
    chosen = version or champion_version(settings.registry, model)
    window = verb.ServedWindow(model, chosen, instant(since), instant(until) if until else created_at)
    with step("drift") as progress:
        result = served_window.run(settings, window)
        progress.result = str(result)
    for subject in result.alarms:
        console.print(str(subject))
    page = write_report(settings.folders.reports, result, created_at, html=html, json=json, prom=prom)
    console.print(f"report: {page}")
    raise typer.Exit(0 if result.clean else 1)
