"""Options whose defaults the project declares in models.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skewless.cli.time_options import instant, now

if TYPE_CHECKING:
    from skewless.project.declared_models import ModelDefaults
    from skewless.project.learner import ParameterValue
    from skewless.project.model import PromotionRule
    from skewless.project.project import ProjectContext
    from skewless.project.windows import TimeSplit

Declared = Annotated[
    str | None, typer.Option("--model", help="Model of models.py that the defaults come from. Default: the only one.")
]
PublishedModel = Annotated[str | None, typer.Option("--model", help="Published model. Default: models.py's only one.")]
Spine = Annotated[Path | None, typer.Option(help="Parquet file or folder of the rows. Default: the model's spine.")]
Label = Annotated[str | None, typer.Option(help="Column of the spine, 0 or 1. Default: the model's label.")]
Parameter = Annotated[
    list[str] | None, typer.Option("--parameter", help="NAME=VALUE of the learner, instead of the model's; repeatable.")
]


def declared(model: str | None, service: str | None = None) -> ModelDefaults:
    """The declared defaults of a model, or of the only one (on that feature service). Raises: BadModels."""
    from skewless.project import declared_models
    from skewless.runtime.settings import ProjectSettings

    return declared_models.read(ProjectSettings.read().feature_repo).choose(model, service)


def split_of(spec: ModelDefaults, **options: str | None) -> TimeSplit:
    """The training windows: `options` are start, validate, test and end as typed, else as the model declares.

    Raises: WindowOrder, ModelNotDeclared, NoModelOfService, WindowsNotDeclared.
    """
    from skewless.project.windows import TimeSplit

    typed = {name: instant(text) for name, text in options.items() if text}
    missing = [name for name in options if name not in typed]
    if missing:
        windows = spec.split(f"--{missing[0]}", now(), typed.get("end"))
        typed = {name: typed.get(name) or getattr(windows, name) for name in options}
    return TimeSplit(**typed)


def window_of(
    spec: ModelDefaults,
    begins: Literal["start", "test"],
    start: str | None,
    end: str | None,
    options: tuple[str, str] = ("--start", "--end"),
) -> tuple[datetime, datetime]:
    """The window [start, end) as typed, else from where the model's windows begin, or its test window, to their end.

    Raises: as `split_of`.
    """
    from skewless.runtime.errors import ascending

    since, until = instant(start) if start else None, instant(end) if end else None
    if since is None or until is None:
        windows = spec.split(options[0] if since is None else options[1], now(), until)
        since, until = since or getattr(windows, begins), until or windows.end
    ascending(**{options[0]: since, options[1]: until})
    return since, until


def spine_of(work: ProjectContext, spec: ModelDefaults, spine: Path | None) -> Path:
    """The path as typed, else the model's spine, in the data folder. Raises: ModelNotDeclared, NoModelOfService."""
    return spine or work.folders.data / spec.spec("--spine").spine


def promotion_of(spec: ModelDefaults, margin: float | None, canary: float | None) -> PromotionRule:
    """The model's promotion rule with what was typed; a `canary` of 0 is none. Raises: BadPromotionRule."""
    rule = spec.promotion
    share = rule.canary if canary is None else canary or None
    return replace(rule, margin=rule.margin if margin is None else margin, canary=share)


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
