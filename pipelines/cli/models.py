"""Verbs that make models: train, publish."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.instants import instant, now
from pipelines.flights import task

verbs = typer.Typer()
Service = Annotated[str, typer.Option(help="The training set, by its feature service.")]


@verbs.command()
def train(
    service: Service = task.SERVICE,
    label: Annotated[str, typer.Option(help="Column of the spine to predict, 0 or 1.")] = task.LABEL,
    start: Annotated[str, typer.Option(help="Train from here,")] = task.TRAIN.isoformat(),
    validate: Annotated[str, typer.Option(help="validate (early stopping) from here,")] = task.VALIDATE.isoformat(),
    test: Annotated[str, typer.Option(help="test from here,")] = task.TEST.isoformat(),
    end: Annotated[str, typer.Option(help="to here.")] = task.END.isoformat(),
) -> None:
    """Train LightGBM on a training set, split by time."""
    from pipelines import train as verb
    from pipelines.console import step
    from pipelines.settings import Settings
    from pipelines.training_set import TrainingSet

    split = verb.Split(instant(start), instant(validate), instant(test), instant(end))
    with step("train") as shown:
        training_set = TrainingSet(Settings.read().folders.training / service)
        done = verb.run(training_set, label, split, task.PARAMETERS)
        shown.result = f"{done.rows:,} rows, {done.rounds} trees; test {verb.told(done.metrics)}"


@verbs.command()
def publish(
    service: Service = task.SERVICE,
    model: Annotated[str, typer.Option(help="Name that the model is served under.")] = task.MODEL,
    version: Annotated[str | None, typer.Option(help="As 1.2.0. Default: the next minor version.")] = None,
    promote: Annotated[bool, typer.Option(help="Make it the version that servers answer with.")] = True,
) -> None:
    """Publish the trained model as a bundle that proves itself."""
    from pipelines import publish as verb
    from pipelines.console import step
    from pipelines.registry_copy import publishing
    from pipelines.rollout import Signature, make_champion
    from pipelines.settings import Settings
    from pipelines.train import told
    from pipelines.training_set import TrainingSet

    settings = Settings.read()
    with step("publish") as shown:
        training_set = TrainingSet(settings.folders.training / service)
        with publishing(settings.registry, settings.folders.models, model) as built:
            done = verb.run(training_set, built, model, created_at=now(), version=version, promote=False)
        if promote:
            signed = Signature("skewless publish", now(), "published")
            make_champion(settings.registry, model, done.manifest.version, signed)
        state = "proven and published" if done.made else "published before, unchanged"
        shown.result = f"{model} {done.manifest.version} {state}; test {told(done.manifest.metrics)}"
