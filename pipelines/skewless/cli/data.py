"""Verbs that make data: apply, ingest, training-set, materialize, quality."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.model_defaults import Declared, Spine
from skewless.cli.time_options import instant, now, span
from skewless.contract.storage.expiry_mode import ExpiryMode

if TYPE_CHECKING:
    from skewless.state.run_history import RunCounts

verbs = typer.Typer()
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Let rows pass that do not meet expectations.")]


@verbs.command()
def apply() -> None:
    """Register the definitions of feature_repo/ with Feast, and tell servers where pushed rows of their views go."""
    from skewless.project import apply as verb
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    settings = ProjectSettings.read()
    repo = settings.feature_repo
    with step("apply") as shown:
        verb.run(repo)
        unreachable = verb.register_push_targets(Project(settings))
        shown.result = f"the registry holds the definitions of {repo.name}/"
    if unreachable is not None:
        console.print(
            f"warning: servers refuse pushed rows of new views until a next command reaches the online store: {unreachable}"
        )


@verbs.command()
def ingest(
    start: Annotated[str | None, typer.Option(help="First UTC day. Default: models.yaml's history.")] = None,
    end: Annotated[str | None, typer.Option(help="First UTC day after the range. Default: the same.")] = None,
    unchecked: Unchecked = False,
) -> None:
    """Fill the tables by the function that models.yaml names, a Parquet file per table and day."""
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.offline.tables import ingest as verb
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = Project(ProjectSettings.read())
    data, specs = work.folders.data, work.specs
    first = instant(start or str(specs.days("--start").start)).date()
    last = instant(end or str(specs.days("--end").end)).date()
    with step("ingest") as shown:
        gates = QualityGates([]) if unchecked else QualityGates.of(work)
        done = verb.run(work.tables(), data, first, last, shown.at, checks=gates.day_checks(data))
        rows = sum(table.rows for table in done.tables)
        changed = sum(table.files_written + table.files_removed for table in done.tables)
        shown.result = f"{rows:,} rows in {len(done.tables)} tables, {changed:,} files changed"
    for warning in gates.missing_days(done.tables):
        console.print(f"warning: {warning}", markup=False)


@verbs.command()
def training_set(
    model: Declared = None,
    service: Annotated[str | None, typer.Option(help="Feature service to join. Default: the model's.")] = None,
    spine: Spine = None,
    start: Annotated[str | None, typer.Option(help="First event_timestamp. Default: the model's `train`.")] = None,
    end: Annotated[str | None, typer.Option(help="First event_timestamp after. Default: the model's `end`.")] = None,
    as_served: Annotated[str | None, typer.Option(help="Join as a store on a schedule: every=1h,delay=5m.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print what would be read, and do nothing.")] = False,
) -> None:
    """Join a spine to a feature service as of each row's time."""
    from skewless.model.training import training_set as verb
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.offline.join.spine import SpineFiles
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = Project(ProjectSettings.read())
    declared = work.model(model)
    service = service or declared.spec("--service").service
    spine = spine or work.folders.data / declared.spec("--spine").spine
    since = instant(start or str(declared.windows("--start").train))
    rows = SpineFiles(spine, since, instant(end or str(declared.windows("--end").end)))
    memory = work.settings.join_memory
    if explain:
        console.print(str(verb.explain(work.service(service), rows, memory=memory)), markup=False)
        return
    with step("training-set") as shown:
        folder = work.folders.training / service
        schedule = RefreshSchedule.parse(as_served) if as_served else None
        made = verb.run(work.service(service), rows, folder, as_served=schedule, report=shown.at, memory=memory)
        shown.result = f"{made.rows:,} rows, {made.columns} columns in {folder}"
    for warning in made.warnings():
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
    """Bring what arrived since the last run into the online store.

    Windows are half-open: after `start`, up to and including `end`, by the time at which rows arrived.
    """
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.online.materialization import materialize as verb
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    since, until = span(start, end, full=full)
    work = Project(ProjectSettings.read())
    views = work.stored(view or ())
    if not dry_run:
        work.targets()
    windows = verb.plan_windows(
        work.state,
        work.project,
        views,
        stored=work.online.stored_views([known for known, _ in views]),
        start=since,
        end=until,
        full=full,
        overlap=work.settings.late_events,
    )
    if dry_run:
        for window, news in ((window, window.arrivals()) for window in windows):
            console.print(f"{window}: {news.rows:,} rows in {len(news.pieces):,} files to look at")
        return
    with step("materialize") as shown:
        check = verb.unchecked if unchecked else QualityGates.of(work).window_check(console.print)
        done = verb.run(windows, work.online_project, clock=now, report=shown.at, check=check)
        shown.result = _result(done.values(), len(views) - len(done))
    if not views:
        console.print("warning: there are no online feature views; run `skewless apply`")


def _result(done: Collection[RunCounts], idle: int) -> str:
    written, waiting = (sum(getattr(one, what) for one in done) for what in ("written", "held_back"))
    told = f"{written:,} rows written in {len(done)} views, {waiting:,} wait for their time"
    return told + (f"; {idle} views are materialized up to then, or later" if idle else "")


@verbs.command()
def quality(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge freshness as of this time. Default: now.")] = None,
) -> None:
    """Check what the feature tables hold against the expectations; exit status 1 where they are not met."""
    from skewless.monitoring.quality.gates import QualityGates
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    gates = QualityGates.of(Project(ProjectSettings.read()), view or ())
    with step("quality") as shown:
        found = {name: gate.check_table(instant(at) if at else now()) for name, gate in gates.by_view.items()}
        wrong = sum(map(len, found.values()))
        shown.result = f"{wrong} expectations not met in {len(found)} feature views"
    for name, breaches in found.items():
        for breach in breaches:
            console.print(f"{name}: {breach}")
    raise typer.Exit(1 if wrong else 0)


@verbs.command()
def verify(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    sample: Annotated[int, typer.Option(help="Look at one entity in so many.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Draws the sample; another one looks at other entities.", min=0)] = 0,
    repair: Annotated[bool, typer.Option("--repair", help="Write, and remove, what differs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Compare Redis with the offline store as of each view's watermark; exit status 1 where anything differs."""
    import json

    from skewless.online.maintenance import verify as verb
    from skewless.online.maintenance.redis_config import warnings
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = Project(ProjectSettings.read())
    views, told = work.stored(view or ()), warnings(work.online.client)
    options = {"sample": verb.EntitySample(sample, seed), "repair": repair}
    if as_json:
        found = verb.run(views, work.online_project, **options)  # type: ignore[arg-type]
        typer.echo(json.dumps({"views": [one.as_json() for one in found], "warnings": told}, indent=2))
    else:
        with step("verify") as shown:
            found = verb.run(views, work.online_project, report=shown.at, **options)  # type: ignore[arg-type]
            shown.result = f"{sum(one.compared for one in found):,} rows of {len(found)} views compared"
        for line in [str(one) for one in found] + [f"warning: {one}" for one in told]:
            console.print(line)
    raise typer.Exit(1 if any(one.differences for one in found) else 0)


@verbs.command()
def expire(
    view: Annotated[list[str] | None, typer.Option(help="Only this feature view; may be repeated.")] = None,
    end: Annotated[str | None, typer.Option(help="As of this instant. Default: each view's watermark.")] = None,
    by: Annotated[
        ExpiryMode | None, typer.Option(help="From now on rows go by this verb (sweep) or by the server's own expiry.")
    ] = None,
) -> None:
    """Remove rows from Redis that have long been out of their view's ttl."""
    from skewless.online.maintenance import expiry
    from skewless.project.project import Project
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    if by and (view or end):
        raise typer.BadParameter("--by is for the whole project, as of now; leave out --view and --end")
    work = Project(ProjectSettings.read())
    views = [known for known, _ in work.stored(view or ())]
    warning = None
    with step("expire") as shown:
        if by:
            chosen = expiry.choose(by, views, work.online_project, report=shown.at)
            done, warning = chosen.removed, chosen.warning
        else:
            done = expiry.run(views, work.online_project, end=instant(end) if end else None, report=shown.at)
        shown.result = f"{sum(done.values()):,} rows removed from {len(done)} views, by {work.online.expiry()}"
    if warning:
        console.print(f"warning: {warning}", markup=False)
