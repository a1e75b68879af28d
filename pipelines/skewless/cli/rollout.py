"""`skewless models`: rollouts of published versions.

Held by tests/model/publishing/test_rollout_steps.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from skewless.cli.opened import project
from skewless.cli.opened import show as print_lines

models = typer.Typer(help="Which versions of each model serve predictions.", no_args_is_help=True)
verbs = typer.Typer()
verbs.add_typer(models, name="models")

Model = Annotated[str, typer.Argument(help="Its name.")]
Version = Annotated[str, typer.Argument(help="A published version, as 1.2.0.")]
Reason = Annotated[str, typer.Option(help="Why; it stays in the history.")]
By = Annotated[str | None, typer.Option(help="Who. Default: you, by the names of account and machine.")]


@models.command("list")
def listing() -> None:
    """Every model: its roles and its other versions."""
    print_lines(project().models.list().lines())


@models.command()
def show(model: Model) -> None:
    """A model's rollout as it stands, and each change of it: when, who, what and why."""
    history = project().models.show(model)
    print_lines([history.current.to_json().decode(), *history.lines()])


@models.command()
def promote(model: Model, version: Version, reason: Reason, by: By = None) -> None:
    """Make a version the champion."""
    print_lines(project().models.promote(model, version, reason=reason, by=by).lines())


@models.command()
def canary(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="A published version; none ends the trial.")] = None,
    *,
    reason: Reason,
    weight: Annotated[float, typer.Option(help="Its share of the entities, in (0, 1].")] = 0.05,
    key: Annotated[list[str] | None, typer.Option(help="Join keys by which entities are split. Default: all.")] = None,
    bounds: Annotated[
        Path | None, typer.Option(help="JSON of bounds. Default: as they are, else the defaults.")
    ] = None,
    by: By = None,
) -> None:
    """Try a version on a share of the entities, or end the trial; beyond its bounds it is withdrawn."""
    rollouts = project().models
    changed = rollouts.canary(model, version, reason=reason, weight=weight, key=key or (), bounds=bounds, by=by)
    print_lines(changed.lines())


@models.command()
def shadow(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="A published version; none ends it.")] = None,
    *,
    reason: Reason,
    by: By = None,
) -> None:
    """Score requests with a version beside the champion and log the scores without returning them."""
    print_lines(project().models.shadow(model, version, reason=reason, by=by).lines())


@models.command()
def rollback(model: Model, reason: Reason, by: By = None) -> None:
    """Take the last step back: the canary where there is one, else the last promotion."""
    print_lines(project().models.rollback(model, reason=reason, by=by).lines())


@models.command()
def pin(model: Model, version: Version, reason: Reason, by: By = None) -> None:
    """Let requests name a version: /v1/models/NAME@VERSION/predict."""
    print_lines(project().models.pin(model, version, reason=reason, by=by).lines())


@models.command()
def unpin(model: Model, version: Version, reason: Reason, by: By = None) -> None:
    """Requests may no longer name this version."""
    print_lines(project().models.unpin(model, version, reason=reason, by=by).lines())


@models.command()
def retire(model: Model, reason: Reason, by: By = None) -> None:
    """Let no version of a model answer any more; requests for it are answered 410 with the reason."""
    print_lines(project().models.retire(model, reason=reason, by=by).lines())


@models.command()
def restore(model: Model, reason: Reason, by: By = None) -> None:
    """Let a retired model answer again, each version in the role that it had."""
    print_lines(project().models.restore(model, reason=reason, by=by).lines())


@models.command()
def delete(
    model: Model,
    version: Annotated[str | None, typer.Option(help="This version, which must have no role.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All versions and the history of a retired model; its name is free then.")
    ] = False,
    reason: Reason = "deleted",
    by: By = None,
) -> None:
    """Delete a version that has no role, or a retired model."""
    if (version is None) == (not every):
        raise typer.BadParameter("name one version with --version, or all of them with --all")
    print_lines(project().models.delete(model, version, every=every, reason=reason, by=by).lines())


@models.command()
def policy(
    model: Model,
    reason: Reason,
    on_store_failure: Annotated[
        Literal["reject", "defaults"] | None, typer.Option(help="Refuse while Redis is away, or score defaults.")
    ] = None,
    cache_rows: Annotated[int | None, typer.Option(help="Scores that each process keeps; 0 keeps none.", min=0)] = None,
    cache_ttl_s: Annotated[float, typer.Option(help="For how many seconds.", min=1e-3)] = 60.0,
    by: By = None,
) -> None:
    """Set how a model's versions serve: store failures and the score cache."""
    changed = project().models.policy(
        model, reason=reason, on_store_failure=on_store_failure, cache_rows=cache_rows, cache_ttl_s=cache_ttl_s, by=by
    )
    print_lines(changed.lines())
