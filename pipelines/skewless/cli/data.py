"""Commands on data: apply, ingest, training-set, materialize, quality, verify, expire."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.author import account
from skewless.cli.model_defaults import Declared, Spine, spine_of, window_of
from skewless.cli.time_options import instant, now, span
from skewless.contract.storage.expiry_mode import ExpiryMode

if TYPE_CHECKING:
    from skewless.contract.plan import PlanView
    from skewless.offline.tables.source import TableSource
    from skewless.project.project import ProjectContext
    from skewless.runtime.progress import Report
    from skewless.state.run_history import RunCounts

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
    from skewless.project.absent_tables import absent_tables
    from skewless.runtime.console import console

    for line in absent_tables(apply_definitions(at_once=at_once, force=force)):
        console.print(line, markup=False)


def apply_definitions(*, at_once: bool = False, force: bool = False) -> ProjectContext:
    """Apply the definitions and print what it did; the project afterwards. Raises: ApplyRefused, ApplyFailed."""
    from skewless.project import apply as verb
    from skewless.project.project import ProjectContext
    from skewless.project.retained_definitions import unreadable_definitions
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    settings, when = ProjectSettings.read(), now()
    repo = settings.feature_repo
    with step("apply") as progress:
        report = verb.run(repo, at=when, by=account(), now=at_once, force=force)
        work = ProjectContext(settings)
        unreachable = verb.update_online_store(work, when, report.dropped)
        progress.result = f"the registry holds the definitions of {repo.name}/"
    for line in [*report.lines(), *(unreadable_definitions(work) if report.retained else [])]:
        console.print(line, markup=False)
    if unreachable is not None:
        console.print(
            f"warning: servers refuse pushed rows of new views until a next command reaches the online store: {unreachable}"
        )
    return work


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
    from skewless.model.training import training_set as verb
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.offline.join.spine import SpineFiles, declared_types
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    declared = work.model(model, service)
    service = service or declared.spec("--service").service
    place, window = spine_of(work, declared, spine), window_of(declared, "start", start, end)
    definitions, memory = work.service(service), work.settings.join_memory
    rows = SpineFiles(place, *window, declared_types(definitions.plan, declared.known_at))
    if explain:
        console.print(str(verb.explain(definitions, rows, memory=memory)), markup=False)
        return
    with step("training-set") as progress:
        folder = work.folders.training / declared.training_set(service)
        schedule = RefreshSchedule.parse(as_served) if as_served else None
        training = verb.run(definitions, rows, folder, as_served=schedule, report=progress.at, memory=memory)
        progress.result = f"{training.rows:,} rows, {training.columns} columns in {folder}"
    for warning in training.warnings():
        console.print(f"warning: {warning}", markup=False)


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
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.materialization import materialize as verb
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    since, until = span(start, end, full=full)
    work = ProjectContext(ProjectSettings.read())
    views, outputs = _named(work, view or ())
    if not dry_run:
        work.targets()
    windows = verb.plan_windows(
        *(work.state, work.project, views),
        stored=work.online.stored_views([known for known, _ in views]),
        start=since,
        end=until,
        full=full,
        overlap=work.settings.late_events,
    )
    if dry_run:
        plan = [f"{window}: {window.arrivals()}" for window in windows]
        console.print("\n".join([*plan, *(f"{name}: outputs of what changed" for name in outputs)]), markup=False)
        return
    warnings = [] if views or outputs else ["there are no online feature views; run `skewless apply`"]
    with step("materialize") as progress:
        check = verb.unchecked if unchecked else QualityGates.of_stored(work).window_check(console.print)
        done = verb.run(windows, work.online_project, clock=now, report=progress.at, check=check, warn=warnings.append)
        done |= _materialize_outputs(work, outputs, (since, until, full), progress.at, warnings.append)
        progress.result = _result(done.values(), len(views) + len(outputs) - len(done))
    for warning in warnings:
        console.print(f"warning: {warning}", markup=False)


def _named(work: ProjectContext, names: Sequence[str]) -> tuple[list[tuple[PlanView, TableSource]], list[str]]:
    """The definitions, and the on-demand views whose outputs are stored, of these names, or all. Raises: UnknownFeatureView."""
    outputs = [name for name in work.stored_outputs() if not names or name in names]
    others = [name for name in names if name not in outputs]
    return (work.definitions(others) if others or not names else []), outputs


def _materialize_outputs(
    work: ProjectContext,
    names: Sequence[str],
    window: tuple[datetime | None, datetime, bool],
    report: Report,
    warn: Callable[[str], None],
) -> dict[str, RunCounts]:
    """Compute the stored outputs of on-demand views in the window: start, end, and whether from the beginning."""
    if not names:
        return {}
    from skewless.feast.materialization.stored_outputs import ArrivalSpan, run

    start, end, full = window
    span = ArrivalSpan(end, start, full, work.settings.late_events)
    return run(work.store, names, work.online_project, span, clock=now, report=report, warn=warn)


def _result(done: Collection[RunCounts], idle: int) -> str:
    written, waiting = (sum(getattr(counts, name) for counts in done) for name in ("written", "held_back"))
    summary = f"{written:,} rows written in {len(done)} views, {waiting:,} wait for their time"
    return summary + (f"; {idle} views are materialized up to then, or later" if idle else "")


@verbs.command()
def quality(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge freshness as of this time. Default: now.")] = None,
) -> None:
    """Check the feature tables against the expectations; exit status 1 where they are not met."""
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    gates = QualityGates.of(ProjectContext(ProjectSettings.read()), view or ())
    with step("quality") as progress:
        result = {name: gate.check_table(instant(at) if at else now()) for name, gate in gates.by_view.items()}
        wrong = sum(map(len, result.values()))
        progress.result = f"{wrong} expectations not met in {len(result)} feature views"
    for name, breaches in result.items():
        for breach in breaches:
            console.print(f"{name}: {breach}")
    raise typer.Exit(1 if wrong else 0)


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

    from skewless.online.maintenance import verify as verb
    from skewless.online.maintenance.redis_config import warnings
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    views, server_warnings = work.definitions(view or ()), warnings(work.online.client)
    options = {"sample": verb.EntitySample(sample, seed), "repair": repair}
    if as_json:
        result = verb.run(views, work.online_project, **options)  # type: ignore[arg-type]
        typer.echo(json.dumps({"views": [view.as_json() for view in result], "warnings": server_warnings}, indent=2))
    else:
        with step("verify") as progress:
            result = verb.run(views, work.online_project, report=progress.at, **options)  # type: ignore[arg-type]
            progress.result = f"{sum(view.compared for view in result):,} rows of {len(result)} views compared"
        for line in [str(view) for view in result] + [f"warning: {text}" for text in server_warnings]:
            console.print(line)
    raise typer.Exit(1 if any(view.differences for view in result) else 0)


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
    from skewless.online.maintenance import expiry
    from skewless.project import retained_definitions
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    if by and (view or end):
        raise typer.BadParameter("--by is for the whole project, as of now; leave out --view and --end")
    work = ProjectContext(ProjectSettings.read())
    warning = None
    with step("expire") as progress:
        if not view:
            retained_definitions.sweep(work, now(), report=progress.at)
        views = [known for known, _ in work.definitions(view or ())]
        if by:
            chosen = expiry.choose(by, views, work.online_project, report=progress.at)
            done, warning = chosen.removed, chosen.warning
        else:
            done = expiry.run(views, work.online_project, end=instant(end) if end else None, report=progress.at)
        progress.result = f"{sum(done.values()):,} rows removed from {len(done)} views, by {work.online.expiry()}"
    if warning:
        console.print(f"warning: {warning}", markup=False)
