"""A model's rollout: which versions answer, and what each change of it was.

A rollout is never edited. A change makes the next revision, which keeps who made it, when and why, so that the newest
revision says what holds and all of them are its history.

    champion   answers
    canary     answers a share of the entities, the same ones each time
    shadow     is scored and logged beside the champion, and answers nobody
    pinned     answer who names them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from skewless.contract.errors import InvalidRollout, RolloutRefused
from skewless.contract.rollout.names import SANE_NAME

MOST_PINNED = 8
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]


class GuardrailBounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a canary may do in the last `window_s` seconds before it is withdrawn; null: anything.

    `most_errors`: share of failed requests; a store that does not answer is nobody's fault. `most_slow`: share of
    requests that took longer than `slow_s` seconds. `most_drift`: Kolmogorov-Smirnov distance of its scores to the
    champion's. Nothing is concluded from less than `least_requests`, nor with less than `confidence`.
    """

    window_s: Positive = 600.0
    least_requests: Annotated[int, msgspec.Meta(ge=1)] = 200
    most_errors: Share | None = 0.01
    slow_s: Positive = 0.1
    most_slow: Share | None = 0.1
    most_drift: Share | None = None
    confidence: Annotated[float, msgspec.Meta(gt=0.5, lt=1.0)] = 0.9999


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version on trial with a share `weight` of the entities; those are told apart `by` some join keys, or by all."""

    version: str
    weight: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
    by: tuple[str, ...] = ()
    bounds: GuardrailBounds = GuardrailBounds()


class CachePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many scores each process keeps, by exact model input, and for how many seconds."""

    rows: Annotated[int, msgspec.Meta(ge=1)]
    ttl_s: Positive


ROLL_BACK = "roll back"
"""What `roll_back` notes in a change."""


class RolloutChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who made a revision, when (ISO 8601, UTC), what it changed and why."""

    by: str
    at: str
    what: str
    reason: str


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One revision. `previous` is the champion before this one, until somebody went back to it; `nonce` tells apart two
    that claim one number.

    `retired` is why no version answers any more; the roles are kept, so that it can be restored. `deleted` versions never
    have a role again, and their numbers stay taken.
    `on_store_failure`: refuse requests while the online store does not answer, or answer as if it held nothing.
    """

    revision: Annotated[int, msgspec.Meta(ge=1)]
    change: RolloutChange
    champion: str
    previous: str | None = None
    canary: Canary | None = None
    shadow: str | None = None
    pinned: tuple[str, ...] = ()
    on_store_failure: Literal["reject", "defaults"] = "reject"
    cache: CachePolicy | None = None
    retired: str | None = None
    deleted: tuple[str, ...] = ()
    nonce: str = ""
    format: Literal[1] = 1

    @property
    def roles(self) -> Mapping[str, str]:
        """The role of each version that is named: the first in the order of the module's list."""
        named = [(self.champion, "champion")]
        named += [(self.canary.version, "canary")] if self.canary else []
        named += [(self.shadow, "shadow")] if self.shadow else []
        named += [(version, "pinned") for version in self.pinned]
        return dict(reversed(named))

    @property
    def named(self) -> frozenset[str]:
        """The versions that are in use: those with a role, and the one that `roll_back` would go back to."""
        return frozenset(self.roles) | ({self.previous} if self.previous else frozenset())

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def rollout_from_json(content: bytes, where: str) -> Rollout:
    """A revision out of its file. Raises: InvalidRollout."""
    try:
        found = msgspec.json.decode(content, type=Rollout)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRollout(where, f"it does not fit its format ({error})") from None
    wrong = [version for version in found.roles if not SANE_NAME.fullmatch(version)]
    if wrong:
        raise InvalidRollout(where, f"{wrong[0][:40]!r} is no version")
    if found.canary and found.canary.version == found.champion:
        raise InvalidRollout(where, f"its canary {found.champion} is its champion")
    return found


def bounds_from_json(content: bytes, where: str) -> GuardrailBounds:
    """Raises: InvalidRollout."""
    try:
        return msgspec.json.decode(content, type=GuardrailBounds)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRollout(where, f"it holds no bounds ({error})") from None


def trial_of(
    model: str,
    now: Rollout | None,
    version: str,
    weight: float,
    by: tuple[str, ...] = (),
    bounds: GuardrailBounds | None = None,
) -> Canary:
    """The canary that is meant: where one is on trial already, its bounds stay unless others are given.

    Raises: RolloutRefused where the weight is no share.
    """
    if not 0.0 < weight <= 1.0:
        raise RolloutRefused(model, f"a weight is in (0, 1], and {weight:g} is not")
    was = now.canary if now and now.canary and now.canary.version == version else None
    return Canary(version, weight, by or (was.by if was else ()), bounds or (was.bounds if was else GuardrailBounds()))


class RolloutStep(NamedTuple):
    """A change of a rollout: `apply` returns the rollout after it, and `what` describes it. Only a step `of_retired` models
    may change those: see `next_rollout`. A step that `mends` follows the newest valid revision where later ones are invalid.

    `apply` gets None where the model has no rollout yet. Raises: RolloutRefused.
    """

    what: str
    apply: Callable[[Rollout | None], Rollout]
    of_retired: bool = False
    mends: bool = False


def next_rollout(model: str, now: Rollout | None, step: RolloutStep) -> Rollout:
    """The rollout after a step. Raises: RolloutRefused, as the step; for a retired model unless the step is of those;
    where a deleted version would have a role; and where no server could read it.
    """
    if not step.of_retired:
        refuse_retired(model, now)
    then = step.apply(now)
    if gone := sorted(then.named & set(then.deleted)):
        raise RolloutRefused(model, f"{gone[0]} was deleted; publish the model again")
    try:
        rollout_from_json(then.to_json(), model)
    except InvalidRollout as error:
        raise RolloutRefused(model, error.reason) from None
    return then


def refuse_retired(model: str, now: Rollout | None) -> None:
    """Raises: RolloutRefused where the model is retired."""
    if now is not None and now.retired is not None:
        raise RolloutRefused(model, f"it is retired ({now.retired}); run `skewless models restore {model}` first")


_NO_CHANGE = RolloutChange("", "", "", "")


def promote(version: str) -> RolloutStep:
    """Make `version` the champion; it is no canary or shadow any more."""

    def apply(now: Rollout | None) -> Rollout:
        if now is None:
            return Rollout(1, _NO_CHANGE, version)
        if now.champion == version:
            return now
        canary = None if now.canary and now.canary.version == version else now.canary
        shadow = None if now.shadow == version else now.shadow
        return replace(now, champion=version, previous=now.champion, canary=canary, shadow=shadow)

    return RolloutStep(f"promote {version}", apply, mends=True)


def start_canary(model: str, canary: Canary, champion: str | None = None) -> RolloutStep:
    """Put a version on trial, or change the trial's weight or bounds; with `champion` only if that is it still."""

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if champion not in (None, known.champion):
            raise RolloutRefused(
                model, f"{canary.version} was held against {champion}, and {known.champion} is the champion by now"
            )
        if known.champion == canary.version:
            raise RolloutRefused(model, f"{canary.version} is the champion already")
        return replace(known, canary=canary)

    return RolloutStep(f"canary {canary.version} with weight {canary.weight:g}", apply)


def end_canary(model: str, version: str | None = None) -> RolloutStep:
    """Give the canary's share back to the champion; with `version` only if that is the canary still."""

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if known.canary is None or version not in (None, known.canary.version):
            raise RolloutRefused(model, f"{version} is not its canary" if version else "it has no canary")
        return replace(known, canary=None)

    return RolloutStep(f"withdraw canary {version}" if version else "withdraw the canary", apply)


def set_shadow(model: str, version: str | None) -> RolloutStep:
    """Score `version` beside the champion, or no version."""

    def apply(now: Rollout | None) -> Rollout:
        return replace(_known(model, now), shadow=version)

    return RolloutStep(f"shadow {version}" if version else "end the shadow", apply)


def pin(model: str, version: str) -> RolloutStep:
    """Let requests name `version`."""

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if version not in known.pinned and len(known.pinned) >= MOST_PINNED:
            raise RolloutRefused(model, f"{MOST_PINNED} versions are pinned, each in every server's memory; unpin one")
        return known if version in known.pinned else replace(known, pinned=(*known.pinned, version))

    return RolloutStep(f"pin {version}", apply)


def unpin(model: str, version: str) -> RolloutStep:
    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if version not in known.pinned:
            raise RolloutRefused(model, f"{version} is not pinned")
        return replace(known, pinned=tuple(one for one in known.pinned if one != version))

    return RolloutStep(f"unpin {version}", apply)


def roll_back(model: str) -> RolloutStep:
    """Take the last step back: the canary where there is one, else the last promotion, once."""

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if known.canary is not None:
            return replace(known, canary=None)
        if known.previous is None:
            raise RolloutRefused(
                model, "there is no promotion to take back; name a version with `skewless models promote`"
            )
        return replace(known, champion=known.previous, previous=None)

    return RolloutStep(ROLL_BACK, apply)


def retire(model: str, reason: str) -> RolloutStep:
    """Let no version of the model answer any more. Its roles are kept for `restore`."""

    def apply(now: Rollout | None) -> Rollout:
        if not reason.strip():
            raise RolloutRefused(
                model, "a model is retired for a reason, which requests for it are answered with; give it"
            )
        return replace(_known(model, now), retired=reason)

    return RolloutStep("retire the model", apply, of_retired=True)


def restore(model: str) -> RolloutStep:
    """Let a retired model answer again, each version in the role that it had."""

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if known.retired is None:
            raise RolloutRefused(model, "it is not retired")
        return replace(known, retired=None)

    return RolloutStep("restore the model", apply, of_retired=True, mends=True)


def delete(model: str, version: str) -> RolloutStep:
    """Note that a version without a role is deleted."""

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if version in known.named:
            role = known.roles.get(version, "champion before this one, to which `rollback` goes back")
            raise RolloutRefused(model, f"{version} is its {role}; give another version that role first")
        return known if version in known.deleted else replace(known, deleted=(*known.deleted, version))

    return RolloutStep(f"delete {version}", apply, of_retired=True)


def set_policy(
    model: str,
    *,
    on_store_failure: Literal["reject", "defaults"] | None = None,
    cache: CachePolicy | Literal["off"] | None = None,
) -> RolloutStep:
    """Change how all versions answer; None leaves a policy as it is."""
    changes = [f"on_store_failure {on_store_failure}"] if on_store_failure else []
    changes += (
        [f"cache {cache.rows} rows for {cache.ttl_s:g} s" if isinstance(cache, CachePolicy) else "cache off"]
        if cache
        else []
    )

    def apply(now: Rollout | None) -> Rollout:
        known = _known(model, now)
        if on_store_failure is not None:
            known = replace(known, on_store_failure=on_store_failure)
        if cache is not None:
            known = replace(known, cache=None if cache == "off" else cache)
        return known

    return RolloutStep(", ".join(changes) or "change nothing", apply)


def _known(model: str, now: Rollout | None) -> Rollout:
    if now is None:
        raise RolloutRefused(model, "it has no champion; run `skewless publish`, or `skewless models promote`")
    return now
