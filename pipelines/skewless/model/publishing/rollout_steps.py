"""Changes of a model's rollout by a person or a job: checked before they are made, and recorded with their author.

A version enters a rollout only after its bundle was opened and verified here, and as a canary or shadow only if it takes the
champion's requests. Otherwise a server would refuse it later, and only its own log would say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from skewless.contract.errors import ContractMismatch, InvalidBundle, RolloutRefused
from skewless.contract.model.bundle import Bundle
from skewless.contract.rollout.interface import same_answer, same_request
from skewless.contract.rollout.rollout import (
    ROLL_BACK,
    Canary,
    Rollout,
    RolloutChange,
    RolloutStep,
    pin,
    promote,
    refuse_retired,
    roll_back,
    set_shadow,
    start_canary,
)
from skewless.contract.rollout.traffic_split import draw
from skewless.online.store.redis_protocol import SyncRedis
from skewless.online.store.store import SyncOnlineStore
from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from skewless.registry.model_registry import ModelRegistry
from skewless.runtime.errors import StepInputMissing

PUBLISH = "skewless publish"
"""Who promotes a version because it was published."""


@dataclass(frozen=True, slots=True)
class ChangeAuthor:
    """Who changes a rollout, when and why."""

    by: str
    at: datetime
    reason: str


def change(registry: ModelRegistry, model: str, step: RolloutStep, author: ChangeAuthor) -> Rollout:
    """Make a change without checking bundles. Raises: RolloutRefused."""
    return registry.change(model, step, by=author.by, at=author.at, reason=author.reason)


def make_champion(registry: ModelRegistry, model: str, version: str, author: ChangeAuthor) -> Rollout:
    """Promote a version to champion. Raises: InvalidBundle."""
    open_published(registry, model, version)
    return change(registry, model, promote(version), author)


def demotion(registry: ModelRegistry, model: str, version: str) -> RolloutChange | None:
    """The change that put another champion in a version's place, if it was no publish: a rollback, another promotion, a
    retraining. None where the version is the champion, or never was. Raises: InvalidRollout.
    """
    history = registry.history(model)
    was = [place for place, rollout in enumerate(history) if rollout.champion == version]
    if not was or was[-1] + 1 == len(history):
        return None
    change = history[was[-1] + 1].change
    return None if change.by == PUBLISH else change


def rollback_in_force(registry: ModelRegistry, model: str) -> RolloutChange | None:
    """The rollback by which the champion is champion; None where it was promoted. Raises: InvalidRollout."""
    history = registry.history(model)
    made = [now.change for before, now in pairwise(history) if now.champion != before.champion]
    return made[-1] if made and made[-1].what == ROLL_BACK else None


def try_canary(
    registry: ModelRegistry, model: str, canary: Canary, author: ChangeAuthor, over: str | None = None
) -> Rollout:
    """Make a version the canary; with `over`, only if that version is still the champion. Raises: InvalidBundle, RolloutRefused."""
    bundle, champion = _beside_champion(registry, model, canary.version)
    if not same_answer(bundle.signature, champion.signature):
        reason = f"{canary.version} gives other answers than the champion {champion.manifest.version}"
        raise RolloutRefused(
            model, f"{reason}; try it with `skewless models shadow` or `pin` instead, which change no answer"
        )
    draw(bundle.plan, model, canary)
    return change(registry, model, start_canary(model, canary, over), author)


def shadow(registry: ModelRegistry, model: str, version: str | None, author: ChangeAuthor) -> Rollout:
    """Make a version the shadow, or remove the shadow (None). Raises: InvalidBundle, RolloutRefused."""
    if version is not None:
        _beside_champion(registry, model, version)
    return change(registry, model, set_shadow(model, version), author)


def pin_version(registry: ModelRegistry, model: str, version: str, author: ChangeAuthor) -> Rollout:
    """Make a version answer requests that ask for it by name. Raises: InvalidBundle, RolloutRefused."""
    open_published(registry, model, version)
    return change(registry, model, pin(model, version), author)


def restore_previous(registry: ModelRegistry, model: str, author: ChangeAuthor) -> Rollout:
    """Undo the last step. Raises: InvalidBundle where the previous champion's bundle fails its checks, RolloutRefused."""
    rollout = registry.rollout(model)
    if rollout is not None and rollout.canary is None and rollout.previous is not None:
        open_published(registry, model, rollout.previous)
    return change(registry, model, roll_back(model), author)


def champion_version(registry: ModelRegistry, model: str) -> str:
    """The version that servers answer with. Raises: StepInputMissing where none is published."""
    rollout = registry.rollout(model)
    if rollout is None:
        raise StepInputMissing(f"a published version of {model}", "skewless publish")
    return rollout.champion


def deleted_versions(registry: ModelRegistry, model: str) -> tuple[str, ...]:
    """The versions of a model that were deleted, whose numbers stay taken."""
    rollout = registry.rollout(model)
    return rollout.deleted if rollout else ()


def unservable(registry: ModelRegistry, model: str, client: SyncRedis) -> list[str]:
    """Why servers will not answer with a version that the rollout names: a line for each, about the views that the online
    store lacks or has by another definition. Raises: RedisUnreachable, InvalidBundle.
    """
    rollout, reasons = registry.rollout(model), []
    for version, role in (rollout.roles if rollout else {}).items():
        plan = open_published(registry, model, version).plan
        try:
            SyncOnlineStore(client, plan.project).confirm(plan)
        except ContractMismatch as error:
            reasons.append(f"no server answers with the {role} {version} yet: {error}")
    return reasons


def require_active(registry: ModelRegistry, model: str) -> None:
    """Raises: RolloutRefused where the model is retired."""
    refuse_retired(model, registry.rollout(model))


def open_published(registry: ModelRegistry, model: str, version: str) -> Bundle:
    """A published bundle, opened with the checks of a server. Raises: StepInputMissing, InvalidBundle."""
    try:
        return open_bundle(registry.bundle(model, version), processor_features())
    except InvalidBundle:
        known = registry.versions(model)
        if version in known:
            raise
        raise version_missing(model, version, known) from None


def version_missing(model: str, version: str, known: Sequence[str]) -> StepInputMissing:
    """The error that a version is not published, and which are."""
    return StepInputMissing(
        f"version {version} of model {model!r} ({', '.join(known) or 'none'} are there)", "skewless publish"
    )


def _beside_champion(registry: ModelRegistry, model: str, version: str) -> tuple[Bundle, Bundle]:
    """A version's bundle and the champion's, which must take the same requests. Raises: RolloutRefused, InvalidBundle."""
    bundle, champion = (
        open_published(registry, model, version),
        open_published(registry, model, champion_version(registry, model)),
    )
    if not same_request(bundle.plan, champion.plan):
        raise RolloutRefused(model, f"{version} takes other requests than the champion {champion.manifest.version}")
    return bundle, champion
