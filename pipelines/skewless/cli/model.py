"""Verbs that make and run models: train, publish, score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skewless.cli.model_defaults import (
    Declared,
    Label,
    Parameter,
    PublishedModel,
    Spine,
    declared,
    parameters_of,
    promotion_of,
    spine_of,
    split_of,
    window_of,
)
from skewless.cli.time_options import instant, now

if TYPE_CHECKING:
    from skewless.contract.plan import PlanView
    from skewless.model.conversion.onnx_import import ImportOptions
    from skewless.model.publishing.graph_optimisation import GraphChanges
    from skewless.model.publishing.publish import PublishedBundle
    from skewless.model.scoring.batch_score import ScoringRun
    from skewless.offline.tables.source import TableSource
    from skewless.project.declared_models import ModelDefaults
    from skewless.project.windows import TimeSplit

verbs = typer.Typer()
Service = Annotated[
    str | None, typer.Option(help="The training set, by its feature service. Default: the model's service.")
]


@verbs.command()
def train(
    model: Declared = None,
    service: Service = None,
    label: Label = None,
    start: Annotated[str | None, typer.Option(help="Train from here,")] = None,
    validate: Annotated[str | None, typer.Option(help="validate (early stopping) from here,")] = None,
    test: Annotated[str | None, typer.Option(help="test from here,")] = None,
    end: Annotated[str | None, typer.Option(help="to here. Default: the model's windows.")] = None,
    parameter: Parameter = None,
) -> None:
    """Train a model on a training set, split by time."""
    from skewless.model.training import train as verb
    from skewless.model.training.training_set import TrainingSet
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    spec = declared(model, service)
    split = split_of(spec, start=start, validate=validate, test=test, end=end)
    column, service = spec.label(label), service or spec.spec("--service").service
    parameters = parameters_of(parameter)
    with step("train") as progress:
        training_set = TrainingSet(ProjectSettings.read().folders.training / spec.training_set(service))
        done = verb.run(training_set, column, split, spec.learner, parameters)
        progress.result = str(done)


@verbs.command()
def publish(
    service: Service = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "--name", help="Name that it is served under. Default: models.py's only one."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="As 1.2.0. Default: the next minor version.")] = None,
    promote: Annotated[bool, typer.Option(help="Make it the version that servers answer with.")] = True,
    onnx: Annotated[Path | None, typer.Option(help="A ready graph, instead of the model trained here.")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="INPUT=FEATURE,FEATURE of the graph.")] = None,
    output: Annotated[list[str] | None, typer.Option(help="Output of the graph to return. Default: all.")] = None,
    optimise: Annotated[bool, typer.Option("--optimise", help="Optimise the graph once, and save it so.")] = False,
    quantise: Annotated[bool, typer.Option("--quantise", help="Keep weights as int8, scaled dynamically.")] = False,
    most: Annotated[
        float | None,
        typer.Option(
            "--max-score-difference", min=0.0, help="More refuses; 0: equal bits. Default: 1e-6; 0.01 with --quantise."
        ),
    ] = None,
) -> None:
    """Publish the trained model, or a ready ONNX graph, as a bundle that proves itself.

    Refused where the definitions are no longer those of the training set.
    """
    from skewless.model.conversion.onnx_import import ImportOptions
    from skewless.model.publishing.graph_optimisation import GraphChanges

    if most is not None and not (optimise or quantise):
        raise typer.BadParameter("--max-score-difference is of --optimise and --quantise; name one of them")
    options = ImportOptions(dict(map(_columns, inputs or ())), output or ())
    spec = declared(model, service)
    name, service = spec.name(), service or spec.spec("--service").service
    changes = GraphChanges(optimise, quantise, most)
    _print_published(_published(spec.training_set(service), (name, version, promote), changes, onnx, options), changes)


def _published(
    service: str, place: tuple[str, str | None, bool], changes: GraphChanges, onnx: Path | None, options: ImportOptions
) -> PublishedBundle:
    from skewless.model.publishing import publish as verb
    from skewless.model.publishing import rollout_steps
    from skewless.model.publishing.registry_upload import publishing
    from skewless.model.training.train import format_metrics
    from skewless.model.training.training_set import TrainingSet
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    (model, version, promote), settings, when = place, ProjectSettings.read(), now()
    registry, graph = settings.registry, _graph(onnx)
    if promote:
        rollout_steps.require_active(registry, model)
    with step("publish") as progress:
        training_set = TrainingSet(settings.folders.training / service)
        ProjectContext(settings).confirm(f"the model of training set {service}", training_set.plan)
        with publishing(registry, settings.folders.models, model) as built:
            deleted = rollout_steps.deleted_versions(registry, model)
            target = verb.VersionPlace(built, model, version, promote=False, deleted=deleted)
            if graph is None:
                done = verb.run(training_set, target, created_at=when, changes=changes)
            else:
                done = verb.run_onnx(graph, training_set, target, created_at=when, options=options, changes=changes)
        if promote:
            author = rollout_steps.ChangeAuthor("skewless publish", when, "published")
            rollout_steps.make_champion(registry, model, done.manifest.version, author)
        state = "proven and published" if done.created else "published before, unchanged"
        test = f"; test {format_metrics(done.manifest.metrics)}" if done.manifest.metrics else ""
        progress.result = f"{model} {done.manifest.version} {state}{test}"
    return done


def _graph(onnx: Path | None) -> bytes | None:
    """The content of --onnx."""
    if onnx is not None and not onnx.is_file():
        raise typer.BadParameter(f"there is no file {onnx}", param_hint="--onnx")
    return onnx.read_bytes() if onnx else None


def _print_published(done: PublishedBundle, changes: GraphChanges) -> None:
    from skewless.runtime.console import console

    if done.unexplained:
        console.print(done.unexplained, markup=False)
    if done.manifest.optimised is not None:
        console.print(str(done.manifest.optimised), markup=False)
    elif changes.optimise:
        console.print("nothing of the graph can be optimised: it is published as it was")


def _columns(text: str) -> tuple[str, list[str]]:
    name, equals, columns = text.partition("=")
    if not (name and equals and columns):
        raise typer.BadParameter(f"{text!r} is not INPUT=FEATURE,FEATURE", param_hint="--input")
    return name, columns.split(",")


@verbs.command()
def score(
    spine: Spine = None,
    model: PublishedModel = None,
    version: Annotated[str | None, typer.Option(help="Its version. Default: the champion.")] = None,
    start: Annotated[
        str | None, typer.Option(help="First event_timestamp. Default: of the model's test window.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="First event_timestamp after. Default: the same.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the scores. Default: in the state folder.")] = None,
    write_to: Annotated[str | None, typer.Option(help="Feature view whose table gets the scores too.")] = None,
    created: Annotated[str | None, typer.Option(help="The scores' created_timestamp. Default: this run.")] = None,
    take: Annotated[list[str] | None, typer.Option(help="FEATURE=OUTPUT or FEATURE=OUTPUT[1] of --write-to.")] = None,
) -> None:
    """Score a spine as of each row's time, as the server would have answered then."""
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.model.scoring import batch_score as verb
    from skewless.project.project import ProjectContext
    from skewless.registry.bundle_folder import open_bundle
    from skewless.registry.cpu_features import processor_features
    from skewless.runtime.console import step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    registry, spec = work.settings.registry, work.model(model)
    model = spec.name()
    place = registry.bundle(model, version or champion_version(registry, model))
    target = work.stored([write_to])[0] if write_to else None
    columns = dict(_pair(text) for text in take or ())
    rows = verb.ScoringSpine(spine_of(work, spec, spine), *window_of(spec, "test", start, end))
    folder = out or work.folders.scores / model / place.name
    with step("score") as progress:
        bundle = open_bundle(place, processor_features())
        work.confirm_scorable(f"{model} {place.name}", bundle.plan)
        rows.rows(bundle.plan).require_rows()
        sources, memory = work.sources(bundle.plan), work.settings.join_memory
        done = verb.run(bundle, place, sources, rows, folder, scored_at=now(), report=progress.at, memory=memory)
        progress.result = f"{done.rows:,} rows in {folder}{'' if done.written else ', which held them already'}"
    if target:
        _write_back(done, folder, target, created, columns)


@verbs.command()
def retrain(
    service: Annotated[str | None, typer.Option(help="Feature service to train on. Default: the model's.")] = None,
    model: PublishedModel = None,
    spine: Spine = None,
    label: Label = None,
    until: Annotated[
        str | None, typer.Option("--to", help="First event_timestamp after the windows. Default: the model's.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="How long to train, validate and test: 212d,30d,92d. Default: the model's.")
    ] = None,
    as_served: Annotated[str | None, typer.Option(help="Join as a store on a schedule: every=1h,delay=5m.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="Required gain in logloss. Default: of the model's promotion rule.")
    ] = None,
    canary: Annotated[
        float | None,
        typer.Option(help="Try a better candidate on this share of entities; 0: on none. Default: the same."),
    ] = None,
) -> None:
    """Train anew and compare with the champion; exit status 1 where the candidate is not better."""
    from skewless.monitoring.reports.retraining_page import write_report
    from skewless.monitoring.retraining import retrain as verb
    from skewless.offline.join.refresh_schedule import RefreshSchedule
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work, created_at = ProjectContext(ProjectSettings.read()), now()
    spec = work.model(model, service)
    rule, schedule = promotion_of(spec, margin, canary), RefreshSchedule.parse(as_served) if as_served else None
    place, column, split = spine_of(work, spec, spine), spec.label(label), _retrain_split(spec, until, window)
    options = verb.RetrainOptions(spec.name(), place, column, split, spec.learner, rule, schedule)
    project = verb.RetrainProject.of(work, service or spec.spec("--service").service)
    with step("retrain") as progress:
        result = verb.run(project, options, created_at=created_at, canary=rule.canary, report=progress.at)
        progress.result = str(result)
    for line in result.lines():
        console.print(line, markup=False)
    console.print(f"report: {write_report(work.folders.reports, result, created_at)}")
    raise typer.Exit(0 if result.better else 1)


def _retrain_split(spec: ModelDefaults, until: str | None, lengths: str | None) -> TimeSplit:
    """The windows that end at `until`, with these lengths or the declared ones. Raises: BadTrainingWindow,
    ModelNotDeclared, WindowsNotDeclared.
    """
    from skewless.project.windows import Windows

    end = instant(until) if until else spec.fixed_end
    windows = Windows.parse(lengths) if lengths else spec.windows("--window")
    return windows.split(now(), spec.gap) if end is None else windows.until(end, spec.gap)


def _pair(text: str) -> tuple[str, str]:
    feature, equals, output = text.partition("=")
    if not (feature and equals and output):
        raise typer.BadParameter(f"{text!r} is not FEATURE=OUTPUT", param_hint="--take")
    return feature, output


def _write_back(
    done: ScoringRun, folder: Path, target: tuple[PlanView, TableSource], created: str | None, take: dict[str, str]
) -> None:
    from skewless.model.scoring import score_write_back
    from skewless.runtime.console import step

    with step("write-back") as progress:
        known = instant(created) if created else None
        written = score_write_back.run(done, folder, *target, created=known, take=take)
        view = target[0].stored_as
        progress.result = f"{written.rows:,} rows of feature view {view}; `skewless materialize` brings them online"
