"""The verb that audits what was served, and the one that brings what came to pass of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.instants import instant, now
from pipelines.cli.proof import Html, Json, Model, Prom, Since, Until, Version
from pipelines.flights import task

if TYPE_CHECKING:
    from serving.contract.bundle import Bundle
    from serving.contract.registry import Registry

verbs = typer.Typer()
group = typer.Typer()
verbs.add_typer(group, name="audit")


@group.callback(invoke_without_command=True)
def audit(
    context: typer.Context,
    model: Model = task.MODEL,
    version: Version = None,
    role: Annotated[
        Literal["champion", "canary", "shadow", "pinned"] | None,
        typer.Option(help="Only what it answered as this. Default: as anything."),
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
    from pipelines import audit as verb
    from pipelines.console import console, step
    from pipelines.evidence import clues
    from pipelines.reports.audited import write_audit
    from pipelines.reports.causes import told
    from pipelines.settings import Settings
    from pipelines.workspace import Workspace

    work, made_at = Workspace(Settings.read()), now()
    bundle = opened(work.settings.registry, model, version)
    end = instant(until) if until else made_at
    with step("audit") as shown:
        log = verb.ServedLog(work.folders.served)
        found = verb.run(bundle, clues(work, bundle.plan), log, instant(since), end, role=role, report=shown.at)
        shown.result = str(found)
    for line in [*found.examples, *told(found)]:
        console.print(line, markup=False)
    page = write_audit(work.folders.reports, found, made_at, html=html, json=json, prom=prom)
    console.print(f"report: {page}")
    raise typer.Exit(0 if found.clean else 1)


@group.command()
def what_if(
    materialize_every: Annotated[str, typer.Option(help="Schedules, as 15m,1h,6h,24h.")] = "15m,1h,6h,24h",
    delay: Annotated[str, typer.Option(help="How long a run takes until the store holds its rows.")] = "0s",
    model: Annotated[str, typer.Option(help="Published model: its champion.")] = task.MODEL,
    since: Annotated[str, typer.Option("--from", help="First event_timestamp.")] = task.TEST.isoformat(),
    until: Annotated[str, typer.Option("--to", help="First event_timestamp after the range.")] = task.END.isoformat(),
    spine: Annotated[Path | None, typer.Option(help="Parquet with labels. Default: the flights.")] = None,
    label: Annotated[str, typer.Option(help="Column of the spine that came true or not, 0 or 1.")] = task.LABEL,
    html: Html = None,
) -> None:
    """AUC and logloss had the online store been refreshed that seldom, computed from history."""
    from pipelines import what_if as verb
    from pipelines.console import console, step
    from pipelines.refresh import Refresh
    from pipelines.reports.files import write
    from pipelines.reports.freshness import page
    from pipelines.settings import Settings
    from pipelines.training_set import read_spine
    from pipelines.workspace import Workspace

    schedules = [Refresh.parse(f"every={every},delay={delay}") for every in materialize_every.split(",")]
    work, made_at, window = Workspace(Settings.read()), now(), (instant(since), instant(until))
    bundle = opened(work.settings.registry, model, None)
    with step("what-if") as shown:
        rows = read_spine(spine or work.folders.data / task.SPINE, *window)
        sources = work.sources(bundle.plan)
        found = verb.run(bundle, sources, rows, label, window, schedules, report=shown.at)
        shown.result = f"{found.fresh.rows:,} rows under {len(schedules)} schedules"
    for line in found.lines():
        console.print(line, markup=False)
    stem = work.folders.reports / f"what-if-{model}-{found.version}"
    console.print(f"report: {write(stem, found, page(found, made_at), None, html=html, json=None, prom=None)}")


def opened(registry: Registry, model: str, version: str | None) -> Bundle:
    """A published version, or the champion. Raises: NotTrained, InvalidBundle."""
    from pipelines.rollout import champion_version, proven

    return proven(registry, model, version or champion_version(registry, model))


@verbs.command()
def outcomes(
    file: Annotated[Path, typer.Argument(help="request_id, label (0 or 1) and row, as .jsonl, .csv or .parquet.")],
    model: Model = task.MODEL,
) -> None:
    """Store what came to pass of served predictions, for the audit to hold the scores against."""
    from pipelines import outcomes as verb
    from pipelines.console import step
    from pipelines.settings import Settings

    with step("outcomes") as shown:
        log = verb.Outcomes(Settings.read().folders.served, model)
        shown.result = str(log.add(verb.read(file), now()))


@verbs.command()
def trim(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    keep: Annotated[str | None, typer.Option(help="Remove days older than this, as 90d. Default: none.")] = None,
) -> None:
    """Fold the served log's days that are over into a file each, and remove those that are old, with their outcomes."""
    from pipelines import outcomes
    from pipelines import served_days as verb
    from pipelines.console import step
    from pipelines.refresh import duration
    from pipelines.settings import Settings

    age, today = duration(keep) if keep else None, now().date()
    with step("trim") as shown:
        served, models = Settings.read().folders.served, model or ()
        shown.result = str(verb.trim(verb.days(served, models), today, age, shown.at))
        if age is not None:
            shown.result += f"; {outcomes.forget(served, today - age, models):,} files of outcomes removed"
