"""Verbs that make and run models: train, publish, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skewless.cli.model_defaults import Declared, Label, Parameter, PublishedModel, Spine, parameters_of
from skewless.cli.opened import project, show
from skewless.cli.time_options import optional

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
    project().train(
        model=model,
        service=service,
        label=label,
        start=optional(start),
        validate=optional(validate),
        test=optional(test),
        end=optional(end),
        parameters=parameters_of(parameter),
    )


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
    if most is not None and not (optimise or quantise):
        raise typer.BadParameter("--max-score-difference is of --optimise and --quantise; name one of them")
    if onnx is not None and not onnx.is_file():
        raise typer.BadParameter(f"there is no file {onnx}", param_hint="--onnx")
    done = project().publish(
        model=model,
        service=service,
        version=version,
        promote=promote,
        onnx=onnx,
        inputs=dict(map(_columns, inputs or ())),
        outputs=output or (),
        optimise=optimise,
        quantise=quantise,
        max_score_difference=most,
    )
    show(done.notes)


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
    project().score(
        spine,
        model=model,
        version=version,
        start=optional(start),
        end=optional(end),
        out=out,
        write_to=write_to,
        created=optional(created),
        take=dict(_pair(text) for text in take or ()),
    )


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
    done = project().retrain(
        model=model,
        service=service,
        spine=spine,
        label=label,
        until=optional(until),
        window=window,
        as_served=as_served,
        margin=margin,
        canary=canary,
    )
    show(done.lines()[1:])
    raise typer.Exit(0 if done.better else 1)


def _pair(text: str) -> tuple[str, str]:
    feature, equals, output = text.partition("=")
    if not (feature and equals and output):
        raise typer.BadParameter(f"{text!r} is not FEATURE=OUTPUT", param_hint="--take")
    return feature, output
