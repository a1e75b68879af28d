"""Commands on the served log: audit, what-if, outcomes, trim.

Held by tests/monitoring/audit/test_audit.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skewless.cli.drift import Html, Json, Model, Prom, Since, Until, Version
from skewless.cli.model_defaults import Label, PublishedModel, Spine, declared, spine_of, window_of
from skewless.cli.time_options import instant, now

if TYPE_CHECKING:
    from skewless.contract.model.bundle import Bundle
    from skewless.registry.model_registry import ModelRegistry

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
    from skewless.monitoring.audit import audit as verb
    from skewless.monitoring.audit.evidence import project_evidence
    from skewless.monitoring.reports.audit_files import write_audit
    from skewless.monitoring.reports.cause_table import terminal_lines
    from skewless.monitoring.served_log.reader import ServedLogReader
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work, created_at = ProjectContext(ProjectSettings.read()), now()
    model = work.model(model).name()
    bundle = open_version(work.settings.registry, model, version)
    end = instant(until) if until else created_at
    with step("audit") as progress:
        log = ServedLogReader(work.folders.served)
        result = verb.run(
            bundle, project_evidence(work, bundle.plan), log, instant(since), end, role=role, report=progress.at
        )
        progress.result = str(result)
    for line in [*result.examples, *terminal_lines(result)]:
        console.print(line, markup=False)
    page = write_audit(work.folders.reports, result, created_at, html=html, json=json, prom=prom)
    console.print(f"report: {page}")
    raise typer.Exit(0 if result.clean else 1)


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
    from skewless.model.training.training_set import read_spine
    from skewless.monitoring.audit import what_if as verb
    from skewless.monitoring.reports.files import write
    from skewless.monitoring.reports.what_if_page import page
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.offline.join.spine import declared_types
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    schedules = [RefreshSchedule.parse(f"every={every},delay={delay}") for every in materialize_every.split(",")]
    work, created_at = ProjectContext(ProjectSettings.read()), now()
    spec = work.model(model)
    window = window_of(spec, "test", since, until, ("--from", "--to"))
    model, label = spec.name(), label or spec.spec("--label").label
    bundle = open_version(work.settings.registry, model, None)
    with step("what-if") as progress:
        rows = read_spine(spine_of(work, spec, spine), *window, declared_types(bundle.plan))
        sources = work.sources(bundle.plan)
        result = verb.run(bundle, sources, rows, label, window, schedules, report=progress.at)
        progress.result = f"{result.fresh.rows:,} rows under {len(schedules)} schedules"
    for line in result.lines():
        console.print(line, markup=False)
    stem = work.folders.reports / f"what-if-{model}-{result.version}"
    console.print(f"report: {write(stem, result, page(result, created_at), None, html=html, json=None, prom=None)}")


def open_version(registry: ModelRegistry, model: str, version: str | None) -> Bundle:
    """A published version, or the champion. Raises: NotTrained, InvalidBundle."""
    from skewless.model.publishing.rollout_steps import champion_version, open_published

    return open_published(registry, model, version or champion_version(registry, model))


@verbs.command()
def outcomes(
    file: Annotated[Path, typer.Argument(help="request_id, label (0 or 1) and row, as .jsonl, .csv or .parquet.")],
    model: Model = None,
) -> None:
    """Store the outcomes of served predictions, with which the audit compares the scores."""
    from skewless.monitoring.served_log import ground_truth as verb
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    settings, spec = ProjectSettings.read(), declared(model)
    name = spec.name()
    known = {*spec.project.models, *settings.registry.models()}
    if name not in known and not (settings.folders.served / f"model={name}").is_dir():
        raise verb.OutcomesOfNoModel(name, tuple(sorted(known)))
    with step("outcomes") as progress:
        log = verb.GroundTruth(settings.folders.served, name)
        progress.result = str(log.add(verb.read(file), now()))


@verbs.command()
def trim(
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    keep: Annotated[str | None, typer.Option(help="Remove days older than this, as 90d. Default: none.")] = None,
) -> None:
    """Fold each past day of the served log into one file; remove old days with their outcomes."""
    from skewless.monitoring.served_log import days as verb
    from skewless.monitoring.served_log import ground_truth as outcomes
    from skewless.runtime.console import step
    from skewless.runtime.durations import duration
    from skewless.runtime.settings import ProjectSettings

    age, today = duration(keep) if keep else None, now().date()
    with step("trim") as progress:
        served, models = ProjectSettings.read().folders.served, model or ()
        progress.result = str(verb.trim(verb.days(served, models), today, age, progress.at))
        if age is not None:
            progress.result += f"; {outcomes.remove_before(served, today - age, models):,} files of outcomes removed"
