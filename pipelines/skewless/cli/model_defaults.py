"""Options whose defaults the project declares in models.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from skewless.project.model_specs import ModelDefaults

Declared = Annotated[
    str | None, typer.Option("--model", help="Model of models.yaml that the defaults come from. Default: the only one.")
]
PublishedModel = Annotated[
    str | None, typer.Option("--model", help="Published model. Default: models.yaml's only one.")
]
Spine = Annotated[Path | None, typer.Option(help="Parquet file or folder of the rows. Default: the model's spine.")]
Label = Annotated[str | None, typer.Option(help="Column of the spine, 0 or 1. Default: the model's label.")]


def declared(model: str | None) -> ModelDefaults:
    """The declared defaults of a model, or of the only one. Raises: BadModelSpecs."""
    from skewless.project import model_specs
    from skewless.runtime.settings import ProjectSettings

    return model_specs.read(ProjectSettings.read().feature_repo).model(model)
