"""Commands on data: apply, ingest, training-set, materialize, quality, verify, expire."""

from __future__ import annotations

from typing import Annotated

import typer

from skewless.cli.model_defaults import Declared, Spine
from skewless.cli.opened import project, show
from skewless.cli.time_options import optional
from skewless.contract.storage.expiry_mode import ExpiryMode

verbs = typer.Typer()
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Let rows pass that do not meet expectations.")]


@verbs.command()
def apply(
    at_once: Annotated[
        bool,
        typer.Option("--now", help="Drop old definitions at once; models that were trained on them stop answering."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go back to definitions that were applied before and superseded.")
    ] = False,
) -> None:
    """Register the definitions of feature_repo/ with Feast, and write the push targets of their views to the online store.

    Old definitions that published models read are kept beside the new ones until no rollout names those models.
    """
    show(project().apply(now=at_once, force=force).lines()[1:])


@verbs.command()
def training_set(
    model: Declared = None,
    service: Annotated[str | None, typer.Option(help="Feature service to join. Default: the model's.")] = None,
    spine: Spine = None,
    start: Annotated[str | None, typer.Option(help="First event_timestamp. Default: of the model's windows.")] = None,
    end: Annotated[str | None, typer.Option(help="First event_timestamp after. Default: the same.")] = None,
    as_served: Annotated[str | None, typer.Option(help="Join as a store on a schedule: every=1h,delay=5m.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print what would be read, and do nothing.")] = False,
) -> None:
    """Join a spine to a feature service as of each row's time."""
    since, until = optional(start), optional(end)
    if explain:
        show([str(project().explain(spine, model=model, service=service, start=since, end=until))])
        return
    built = project().training_set(spine, model=model, service=service, start=since, end=until, as_served=as_served)
    show(built.lines()[1:])


@verbs.command()
def materialize(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to and including this arrival. Default: now.")] = None,
    start: Annotated[str | None, typer.Option(help="After this arrival. Default: the view's watermark.")] = None,
    full: Annotated[bool, typer.Option("--full", help="From the beginning, whatever the watermark.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False,
    unchecked: Unchecked = False,
) -> None:
    """Write the rows that arrived since the last run to the online store.

    Windows are half-open: after `start`, up to and including `end`, by the time at which rows arrived.
    """
    if full and start:
        raise typer.BadParameter("--full starts at the beginning; leave out --start")
    window = {"start": optional(start), "end": optional(end)}
    done = project().materialize(view, **window, full=full, dry_run=dry_run, unchecked=unchecked)
    show(done.planned if dry_run else done.lines()[1:])


@verbs.command()
def quality(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge freshness as of this time. Default: now.")] = None,
) -> None:
    """Check the feature tables against the expectations; exit status 1 where they are not met."""
    report = project().quality(view, at=optional(at))
    show(report.details())
    raise typer.Exit(0 if report.clean else 1)


@verbs.command()
def verify(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    sample: Annotated[int, typer.Option(help="Compare one entity in this many.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the sample; another seed samples other entities.", min=0)] = 0,
    repair: Annotated[bool, typer.Option("--repair", help="Write, and remove, what differs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Compare Redis with the offline store as of each view's watermark; exit status 1 where anything differs."""
    import json

    compared = project(progress=not as_json).housekeeping.verify(view, sample=sample, seed=seed, repair=repair)
    if as_json:
        typer.echo(json.dumps(compared.as_json(), indent=2))
    else:
        show(compared.lines())
    raise typer.Exit(0 if compared.clean else 1)


@verbs.command()
def expire(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    end: Annotated[str | None, typer.Option(help="As of this instant. Default: each view's watermark.")] = None,
    by: Annotated[
        ExpiryMode | None,
        typer.Option(help="From now on remove rows by this command (sweep) or by the server's own expiry."),
    ] = None,
) -> None:
    """Remove rows from Redis that are long past their view's ttl, and old definitions that no model reads any more."""
    if by and (view or end):
        raise typer.BadParameter("--by is for the whole project, as of now; leave out --view and --end")
    project().housekeeping.expire(view, end=optional(end), by=by)
