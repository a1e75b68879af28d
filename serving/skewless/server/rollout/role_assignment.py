"""Who plays which role of a model's rollout, given which versions have proven themselves. Decides; does no I/O.

A champion that may not answer never replaces one that does. A canary or shadow that may not answer, or takes other
requests than the champion, is left out, and the reason is told.

Held by tests/server/rollout/test_router.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skewless.contract.errors import RolloutRefused
from skewless.contract.rollout.rollout import Canary, Rollout, same_answer, same_request
from skewless.contract.rollout.traffic_split import draw
from skewless.registry.model_registry import Seen
from skewless.server.metrics.canary_window import CanaryWindow, SlidingCounts
from skewless.server.rollout.dependencies import VersionDependencies
from skewless.server.rollout.model_version import (
    CANARY,
    CHAMPION,
    PINNED,
    SHADOW,
    LoadedBundle,
    ServedVersion,
    VersionConfig,
    answerer,
)
from skewless.server.rollout.router import CanaryTrial, ModelRouter
from skewless.server.rollout.shadow import ShadowQueue


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version that a rollout names: its files when it was opened, and the `reason` why it may not answer."""

    seen: Seen
    loaded: LoadedBundle | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ModelState:
    """What one model has: the champion that was taken up last, if any, and the `reason` why it does not answer.

    `refused` is why the rollout is not in force as it stands. `routes` are by the pinned version, None for no version;
    those that do not answer are not there.
    """

    rollout: Rollout | None = None
    held: Mapping[str, VersionState] = field(default_factory=dict)
    champion: ServedVersion | None = None
    routes: Mapping[str | None, ModelRouter] = field(default_factory=dict)
    reason: str | None = "it was not looked at yet"
    refused: str | None = None

    @property
    def version(self) -> str | None:
        return self.champion.predictor.version if self.champion else None

    @property
    def trying(self) -> CanaryTrial | None:
        """The canary that answers."""
        route = self.routes.get(None)
        return route.trying if route else None


class RoleAssignment:
    """The roles of one model, recast from those it had: who stays what it was is not made anew."""

    def __init__(
        self, name: str, seen: ModelState, parts: VersionDependencies, *, withdrawn: str | None = None
    ) -> None:
        """`withdrawn`: why the canary does not answer here, whatever the rollout says."""
        self._name, self._parts, self._withdrawn = name, parts, withdrawn
        known = [seen.champion, *(route.champion for route in seen.routes.values())]
        known += [seen.trying.answerer] if seen.trying else []
        self._shadow = seen.routes[None].shadow if None in seen.routes else None
        known += [self._shadow.answerer] if self._shadow else []
        self._known = [one for one in known if one is not None]
        self._before = seen
        self._refused: list[str] = []

    def slot(self, rollout: Rollout, held: Mapping[str, VersionState]) -> ModelState:
        """The model under a rollout all of whose versions are held, as is the champion before."""
        chief = self._chief(rollout, held)
        if chief is None:
            why = held[rollout.champion].reason
            return ModelState(rollout, held, reason=why, refused=why)
        reason = held[chief.version].reason
        trial = self._trial(rollout.canary, chief, held)
        made = self._maker(rollout)
        champion = made(chief, CHAMPION, trial.champion if trial else None)
        routes: dict[str | None, ModelRouter] = {
            version: ModelRouter(self._address(version), made(one.loaded, PINNED, None))
            for version, one in held.items()
            if one.loaded is not None and one.reason is None and version in rollout.roles
        }
        if reason is None:
            trying = self._trying(rollout.canary, held, trial, made)
            routes[None] = ModelRouter(
                self._address(None), champion, trying, self._shadowing(rollout, chief, held, made)
            )
        return ModelState(rollout, held, champion, routes, reason, "; ".join(self._refused) or None)

    def _address(self, version: str | None) -> str:
        return self._name if version is None else f"{self._name}@{version}"

    def _chief(self, rollout: Rollout, held: Mapping[str, VersionState]) -> LoadedBundle | None:
        wanted, before = held[rollout.champion], self._before.champion
        if wanted.reason is None or before is None:
            return wanted.loaded if wanted.reason is None else None
        if before.predictor.version != rollout.champion:
            self._refused.append(wanted.reason)
        return before.casting.loaded

    def _maker(self, rollout: Rollout) -> Callable[[LoadedBundle, str, SlidingCounts | None], ServedVersion]:
        defaults = rollout.on_store_failure == "defaults"

        def made(loaded: LoadedBundle, role: str, watch: SlidingCounts | None) -> ServedVersion:
            casting = VersionConfig(loaded, role, defaults, rollout.cache, watch)
            found = next((one for one in self._known if one.casting == casting), None)
            return found or answerer(casting, self._parts)

        return made

    def _fits(self, role: str, version: str, chief: LoadedBundle, held: Mapping[str, VersionState]) -> bool:
        """Whether a version may play beside the champion."""
        one = held[version]
        if one.loaded is None or one.reason is not None:
            self._refused.append(f"{role} {version}: {one.reason}")
        elif not same_request(one.loaded.predictor.plan, chief.predictor.plan):
            self._refused.append(f"{role} {version}: it takes other requests than the champion {chief.version}")
        else:
            return version != chief.version
        return False

    def _trial(
        self, canary: Canary | None, chief: LoadedBundle, held: Mapping[str, VersionState]
    ) -> CanaryWindow | None:
        """The trial of a canary that may answer; the one before goes on where it is the same two versions."""
        if canary is None or not self._fits(CANARY, canary.version, chief, held):
            return None
        wrong = self._wrong(chief, held[canary.version])
        if wrong is not None:
            self._refused.append(f"canary {canary.version}: {wrong}")
            return None
        try:
            draw(chief.predictor.plan, self._name, canary)
        except RolloutRefused as error:
            self._refused.append(str(error))
            return None
        before, was = self._before.trying, self._before.rollout.canary if self._before.rollout else None
        if (
            before
            and was
            and was.bounds == canary.bounds
            and before.answerer.casting.loaded == held[canary.version].loaded
            and self._before.champion
            and self._before.champion.casting.loaded == chief
        ):
            return before.trial
        return CanaryWindow(canary.bounds)

    def _wrong(self, chief: LoadedBundle, canary: VersionState) -> str | None:
        """Why a version that takes the champion's requests may not answer some of them."""
        if self._withdrawn is not None:
            return f"it was withdrawn here ({self._withdrawn})"
        forms = [one.predictor.bundle.signature for one in (chief, canary.loaded) if one is not None]
        return None if same_answer(*forms) else f"it gives other answers than the champion {chief.version}"

    def _trying(
        self,
        canary: Canary | None,
        held: Mapping[str, VersionState],
        trial: CanaryWindow | None,
        made: Callable[[LoadedBundle, str, SlidingCounts | None], ServedVersion],
    ) -> CanaryTrial | None:
        loaded = held[canary.version].loaded if canary else None
        if canary is None or trial is None or loaded is None:
            return None
        who = made(loaded, CANARY, trial.canary)
        return CanaryTrial(who, draw(loaded.predictor.plan, self._name, canary), trial)

    def _shadowing(
        self,
        rollout: Rollout,
        chief: LoadedBundle,
        held: Mapping[str, VersionState],
        made: Callable[[LoadedBundle, str, SlidingCounts | None], ServedVersion],
    ) -> ShadowQueue | None:
        version = rollout.shadow
        loaded = held[version].loaded if version else None
        if version is None or not self._fits(SHADOW, version, chief, held) or loaded is None:
            return None
        who = made(loaded, SHADOW, None)
        if self._shadow is not None and self._shadow.answerer is who:
            return self._shadow
        return ShadowQueue(who, self._parts.metrics)
