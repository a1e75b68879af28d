"""`skewless models`: rollouts of published versions.

Held by tests/model/publishing/test_rollout_steps.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skewless.cli.author import account
from skewless.cli.time_options import now

if TYPE_CHECKING:
    from skewless.contract.rollout.rollout import Rollout
    from skewless.model.publishing.rollout_steps import ChangeAuthor
    from skewless.registry.model_registry import ModelRegistry

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
    from skewless.runtime.console import console

    registry = _registry()
    for model in registry.models():
        rollout = registry.rollout(model)
        roles = rollout.roles if rollout else {}
        versions = [f"{version} {role}" for version, role in roles.items()]
        versions += [version for version in registry.versions(model) if version not in roles]
        retired = f"; retired: {rollout.retired}" if rollout and rollout.retired is not None else ""
        console.print(f"{model}: {', '.join(versions)}{retired}", highlight=False, markup=False)


@models.command()
def show(model: Model) -> None:
    """A model's rollout as it stands, and each change of it: when, who, what and why."""
    from skewless.model.publishing.rollout_steps import champion_version
    from skewless.runtime.console import console

    registry = _registry()
    champion_version(registry, model)
    history = registry.history(model)
    console.print(history[-1].to_json().decode(), highlight=False, markup=False)
    for rollout in history:
        change = rollout.change
        line = f"{rollout.revision:>4}  {change.at}  {change.by}: {change.what} ({change.reason})"
        console.print(line, highlight=False, markup=False)


@models.command()
def promote(model: Model, version: Version, reason: Reason, by: By = None) -> None:
    """Make a version the champion."""
    from skewless.model.publishing.rollout_steps import make_champion

    registry = _registry()
    _print_revision(make_champion(registry, model, version, _signed(by, reason)))
    _warn_of_views(registry, model)


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
    from skewless.contract.rollout.rollout import bounds_from_json, end_canary, trial_of
    from skewless.model.publishing import rollout_steps as verb

    registry, signed = _registry(), _signed(by, reason)
    if version is None:
        _print_revision(verb.change(registry, model, end_canary(model), signed))
        return
    limits = bounds_from_json(bounds.read_bytes(), str(bounds)) if bounds else None
    trial = trial_of(registry.rollout(model), version, weight, tuple(key or ()), limits)
    _print_revision(verb.try_canary(registry, model, trial, signed))
    _warn_of_views(registry, model)


@models.command()
def shadow(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="A published version; none ends it.")] = None,
    *,
    reason: Reason,
    by: By = None,
) -> None:
    """Score requests with a version beside the champion and log the scores without returning them."""
    from skewless.model.publishing import rollout_steps as verb

    registry = _registry()
    _print_revision(verb.shadow(registry, model, version, _signed(by, reason)))
    _warn_of_views(registry, model)


@models.command()
def rollback(model: Model, reason: Reason, by: By = None) -> None:
    """Take the last step back: the canary where there is one, else the last promotion."""
    from skewless.model.publishing.rollout_steps import restore_previous

    _print_revision(restore_previous(_registry(), model, _signed(by, reason)))


@models.command()
def pin(model: Model, version: Version, reason: Reason, by: By = None) -> None:
    """Let requests name a version: /v1/models/NAME@VERSION/predict."""
    from skewless.model.publishing.rollout_steps import pin_version

    registry = _registry()
    _print_revision(pin_version(registry, model, version, _signed(by, reason)))
    _warn_of_views(registry, model)


@models.command()
def unpin(model: Model, version: Version, reason: Reason, by: By = None) -> None:
    """Requests may no longer name this version."""
    from skewless.contract.rollout.rollout import unpin as step
    from skewless.model.publishing.rollout_steps import change

    _print_revision(change(_registry(), model, step(model, version), _signed(by, reason)))


@models.command()
def retire(model: Model, reason: Reason, by: By = None) -> None:
    """Let no version of a model answer any more; requests for it are answered 410 with the reason."""
    from skewless.contract.rollout.rollout import retire as step
    from skewless.model.publishing.rollout_steps import change

    _print_revision(change(_registry(), model, step(model, reason), _signed(by, reason)))


@models.command()
def restore(model: Model, reason: Reason, by: By = None) -> None:
    """Let a retired model answer again, each version in the role that it had."""
    from skewless.contract.rollout.rollout import restore as step
    from skewless.model.publishing.rollout_steps import change

    registry = _registry()
    _print_revision(change(registry, model, step(model), _signed(by, reason)))
    _warn_of_views(registry, model)


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
    from skewless.model.publishing import deletion
    from skewless.runtime.console import console
    from skewless.runtime.settings import ProjectSettings

    if (version is None) == (not every):
        raise typer.BadParameter("name one version with --version, or all of them with --all")
    settings = ProjectSettings.read()
    if version is not None:
        deletion.delete_version(settings.registry, settings.folders.models, model, version, _signed(by, reason))
        versions = [version]
    else:
        versions = deletion.delete_model(settings.registry, settings.folders.models, model)
    console.print(f"{model}: {', '.join(versions)} deleted", highlight=False, markup=False)


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
    from skewless.contract.rollout.rollout import CachePolicy, set_policy
    from skewless.model.publishing.rollout_steps import change

    cache: CachePolicy | Literal["off"] | None = "off" if cache_rows == 0 else None
    if cache_rows:
        cache = CachePolicy(cache_rows, cache_ttl_s)
    step = set_policy(model, on_store_failure=on_store_failure, cache=cache)
    _print_revision(change(_registry(), model, step, _signed(by, reason)))


def _registry() -> ModelRegistry:
    from skewless.runtime.settings import ProjectSettings

    return ProjectSettings.read().registry


def _signed(by: str | None, reason: str) -> ChangeAuthor:
    from skewless.model.publishing.rollout_steps import ChangeAuthor

    return ChangeAuthor(by or account(), now(), reason)


def _warn_of_views(registry: ModelRegistry, model: str) -> None:
    """Warn of versions with a role that servers will not answer with, since the online store lacks a view that they read.

    Nothing is said while the embedded server does not run: then nothing is served either.
    """
    from skewless.model.publishing.rollout_steps import unservable
    from skewless.online.store import embedded_valkey
    from skewless.online.store.connection import RedisUnreachable, connect
    from skewless.runtime.console import console
    from skewless.runtime.settings import ProjectSettings

    settings = ProjectSettings.read()
    server = embedded_valkey.status(settings.folders) if settings.embedded else None
    if settings.embedded and server is None:
        return
    try:
        warnings = unservable(registry, model, connect(server.url if server else settings.redis_url))
    except RedisUnreachable as error:
        warnings = [f"it was not checked whether the online store has what the model reads: {error}"]
    for text in warnings:
        console.print(f"warning: {text}", markup=False)


def _print_revision(rollout: Rollout) -> None:
    from skewless.runtime.console import console

    roles = ", ".join(f"{version} {role}" for version, role in rollout.roles.items())
    console.print(f"revision {rollout.revision}, {rollout.change.what}: {roles}", highlight=False)
