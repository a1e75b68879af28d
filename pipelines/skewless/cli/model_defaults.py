"""Options whose defaults the project declares in models.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from skewless.project.learner import ParameterValue

Declared = Annotated[
    str | None, typer.Option("--model", help="Model of models.py that the defaults come from. Default: the only one.")
]
PublishedModel = Annotated[str | None, typer.Option("--model", help="Published model. Default: models.py's only one.")]
Spine = Annotated[
    Path | None,
    typer.Option(help="The rows: a table, or a Parquet file or folder, or a CSV file. Default: the model's spine."),
]
Label = Annotated[str | None, typer.Option(help="Column of the spine, 0 or 1. Default: the model's label.")]
Parameter = Annotated[
    list[str] | None, typer.Option("--parameter", help="NAME=VALUE of the learner, instead of the model's; repeatable.")
]


def parameters_of(options: list[str] | None) -> dict[str, ParameterValue]:
    """Parameters as typed, NAME=VALUE; a value that reads as a bool, int or float is one."""
    parameters: dict[str, ParameterValue] = {}
    for text in options or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--parameter")
        parameters[name] = _value(value)
    return parameters


def _value(text: str) -> ParameterValue:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
