"""The command that compares served predictions with training.

Held by tests/monitoring/drift/test_drift.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.opened import project, show
from skewless.cli.time_options import instant, optional

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
    window = {"since": instant(since), "until": optional(until)}
    report = project().drift(model=model, version=version, **window, html=html, json=json, prom=prom)
    show(report.lines()[1:])
    raise typer.Exit(0 if report.clean else 1)
