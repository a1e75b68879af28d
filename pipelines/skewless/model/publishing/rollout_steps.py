"""Changes of a model's rollout by people: checked before they are made, and signed.

A version is named only once its bundle has proven itself here, and a canary or shadow only if it takes the requests of
the champion: a server would refuse it, and say so where nobody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from skewless.contract.errors import RolloutRefused
from skewless.contract.model.bundle import Bundle, open_bundle
from skewless.contract.model.cpu_features import processor_features
from skewless.contract.registry.model_registry import ModelRegistry
from skewless.contract.registry.rollout import (
    Canary,
    Rollout,
    RolloutStep,
    pin,
    promote,
    roll_back,
    same_answer,
    same_request,
    set_shadow,
    start_canary,
)
from skewless.contract.registry.traffic_split import draw
from skewless.runtime.errors import StepInputMissing


@dataclass(frozen=True, slots=True)
class ChangeAuthor:
    """Who changes a rollout, when and why."""

    by: str
    at: datetime
    reason: str


def change(registry: ModelRegistry, model: str, step: RolloutStep, signed: ChangeAuthor) -> Rollout:
    """Take a step that names no version. Raises: RolloutRefused."""
    return registry.change(model, step, by=signed.by, at=signed.at, reason=signed.reason)


def make_champion(registry: ModelRegistry, model: str, version: str, signed: ChangeAuthor) -> Rollout:
    """Raises: InvalidBundle."""
    proven(registry, model, version)
    return change(registry, model, promote(version), signed)


def try_canary(
    registry: ModelRegistry, model: str, canary: Canary, signed: ChangeAuthor, over: str | None = None
) -> Rollout:
    """With `over` only if that is the champion still. Raises: InvalidBundle, RolloutRefused."""
    bundle, champion = _beside_champion(registry, model, canary.version)
    if not same_answer(bundle.form, champion.form):
        told = f"{canary.version} gives other answers than the champion {champion.manifest.version}"
        raise RolloutRefused(model, f"{told}; `skewless models shadow` or `pin` tries it out of their sight")
    draw(bundle.plan, model, canary)
    return change(registry, model, start_canary(model, canary, over), signed)


def shadow(registry: ModelRegistry, model: str, version: str | None, signed: ChangeAuthor) -> Rollout:
    """Raises: InvalidBundle, RolloutRefused."""
    if version is not None:
        _beside_champion(registry, model, version)
    return change(registry, model, set_shadow(model, version), signed)


def pin_version(registry: ModelRegistry, model: str, version: str, signed: ChangeAuthor) -> Rollout:
    """Raises: InvalidBundle, RolloutRefused."""
    proven(registry, model, version)
    return change(registry, model, pin(model, version), signed)


def go_back(registry: ModelRegistry, model: str, signed: ChangeAuthor) -> Rollout:
    """Raises: InvalidBundle where the champion to go back to does not prove itself any more, RolloutRefused."""
    now = registry.rollout(model)
    if now is not None and now.canary is None and now.previous is not None:
        proven(registry, model, now.previous)
    return change(registry, model, roll_back(model), signed)


def champion_version(registry: ModelRegistry, model: str) -> str:
    """The version that servers answer with. Raises: StepInputMissing where none is published."""
    now = registry.rollout(model)
    if now is None:
        raise StepInputMissing(f"a published version of {model}", "skewless publish")
    return now.champion


def proven(registry: ModelRegistry, model: str, version: str) -> Bundle:
    """A bundle of the registry, opened as a server opens it. Raises: InvalidBundle."""
    return open_bundle(registry.bundle(model, version), processor_features())


def _beside_champion(registry: ModelRegistry, model: str, version: str) -> tuple[Bundle, Bundle]:
    """A version and the champion, which take the same requests."""
    bundle, champion = proven(registry, model, version), proven(registry, model, champion_version(registry, model))
    if not same_request(bundle.plan, champion.plan):
        raise RolloutRefused(model, f"{version} takes other requests than the champion {champion.manifest.version}")
    return bundle, champion
