"""Commands on the served log: audit, what-if, outcomes, trim.

Held by tests/monitoring/audit/test_audit.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from skewless.cli.drift import Html, Json, Model, Prom, Since, Until, Version
from skewless.cli.model_defaults import Label, PublishedModel, Spine
from skewless.cli.opened import project, show
from skewless.cli.time_options import instant, optional

verbs = typer.Typer()
group = typer.Typer()
verbs.add_typer(group, name="audit")


@group.callback(invoke_without_command=True)
def audit(
    context: typer.Context,
    model: Model = None,
    version: Version = None,
    role: Annotated[
        Literal["champion", "canary", "shadow", "pinned"] | None,
        typer.Option(help="Only predictions served in this role. Default: in any."),
    ] = None,
    since: Since = "1970-01-01",
    until: Until = None,
    html: Html = None,
    json: Json = None,
    prom: Prom = None,
) -> None:
    """Replay served predictions through the join; exit status 1 where anything differs."""
    if context.invoked_subcommand:
        return
    window = {"since": instant(since), "until": optional(until)}
    report = project().audit(model=model, version=version, role=role, **window, html=html, json=json, prom=prom)
    show(report.lines()[1:])
    raise typer.Exit(0 if report.clean else 1)


@group.command()
def what_if(
    materialize_every: Annotated[str, typer.Option(help="Schedules, as 15m,1h,6h,24h.")] = "15m,1h,6h,24h",
    delay: Annotated[str, typer.Option(help="How long a run takes until the store holds its rows.")] = "0s",
    model: PublishedModel = None,
    since: Annotated[
        str | None, typer.Option("--from", help="First event_timestamp. Default: of the model's test window.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="First event_timestamp after. Default: the same.")] = None,
    spine: Spine = None,
    label: Label = None,
    html: Html = None,
) -> None:
    """Compute from history the AUC and logloss that refreshing the online store on each schedule would have given."""
    window = {"since": optional(since), "until": optional(until)}
    every = materialize_every.split(",")
    report = project().what_if(every, delay=delay, model=model, **window, spine=spine, label=label, html=html)
    show(report.lines())


@verbs.command()
def outcomes(
    file: Annotated[Path, typer.Argument(help="request_id, label (0 or 1) and row, as .jsonl, .csv or .parquet.")],
    model: Model = None,
) -> None:
    """Store the outcomes of served predictions, with which the audit compares the scores."""
    project().outcomes(file, model=model)


@verbs.command()
def trim(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    keep: Annotated[str | None, typer.Option(help="Remove days older than this, as 90d. Default: none.")] = None,
) -> None:
    """Fold each past day of the served log into one file; remove old days with their outcomes."""
    project().housekeeping.trim(model, keep=keep)
