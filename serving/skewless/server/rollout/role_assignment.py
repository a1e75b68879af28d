"""Assigns the versions of a model to the roles of its rollout, given which of them may answer. It decides; it does no I/O.

A champion that may not answer never replaces one that does. A canary or shadow that may not answer, or takes other
requests than the champion, is left out, and the reason is reported.

Held by tests/server/rollout/test_router.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skewless.contract.errors import RolloutRefused
from skewless.contract.rollout.interface import same_answer, same_request
from skewless.contract.rollout.rollout import Canary, Rollout
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
    served_version,
)
from skewless.server.rollout.router import CanaryTrial, ModelRouter
from skewless.server.rollout.shadow import ShadowQueue


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version that a rollout names: `files` as they were when it was opened, and the `reason` why it may not answer."""

    seen: Seen
    loaded: LoadedBundle | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is served of one model: the latest champion, if any, and the `reason` why it does not answer.

    `refused` is why the rollout is not in force as it stands. `routes` are by the pinned version, None for no version;
    those that do not answer are not there.
    """

    rollout: Rollout | None = None
    versions: Mapping[str, VersionState] = field(default_factory=dict)
    champion: ServedVersion | None = None
    routes: Mapping[str | None, ModelRouter] = field(default_factory=dict)
    reason: str | None = "it was not looked at yet"
    refused: str | None = None

    @property
    def version(self) -> str | None:
        return self.champion.predictor.version if self.champion else None

    @property
    def retired(self) -> str | None:
        """Why the model is not meant to answer any more; None where it is."""
        return self.rollout.retired if self.rollout else None

    @property
    def canary(self) -> CanaryTrial | None:
        """The canary that answers."""
        route = self.routes.get(None)
        return route.canary if route else None


class RoleAssignment:
    """Assigns the roles of one model anew. A version whose configuration is unchanged is kept, not compiled again."""

    def __init__(
        self, name: str, seen: ModelState, dependencies: VersionDependencies, *, withdrawn: str | None = None
    ) -> None:
        """`withdrawn`: why the canary does not answer here, whatever the rollout says."""
        self._name, self._dependencies, self._withdrawn = name, dependencies, withdrawn
        known = [seen.champion, *(route.champion for route in seen.routes.values())]
        known += [seen.canary.served] if seen.canary else []
        self._shadow_before = seen.routes[None].shadow if None in seen.routes else None
        known += [self._shadow_before.served] if self._shadow_before else []
        self._served_before = [served for served in known if served is not None]
        self._before = seen
        self._refused: list[str] = []

    def assign(self, rollout: Rollout, versions: Mapping[str, VersionState]) -> ModelState:
        """The model's state under a rollout. `versions` holds each of its versions, and the champion before it."""
        champion_bundle = self._champion(rollout, versions)
        if champion_bundle is None:
            why = versions[rollout.champion].reason
            return ModelState(rollout, versions, reason=why, refused=why)
        reason = versions[champion_bundle.version].reason
        trial = self._canary_window(rollout.canary, champion_bundle, versions)
        serve = self._server_of(rollout)
        champion = serve(champion_bundle, CHAMPION, trial.champion if trial else None)
        routes: dict[str | None, ModelRouter] = {
            version: ModelRouter(self._address(version), serve(state.loaded, PINNED, None))
            for version, state in versions.items()
            if state.loaded is not None and state.reason is None and version in rollout.roles
        }
        if reason is None:
            canary = self._canary_trial(rollout.canary, versions, trial, serve)
            routes[None] = ModelRouter(
                self._address(None), champion, canary, self._shadow_queue(rollout, champion_bundle, versions, serve)
            )
        return ModelState(rollout, versions, champion, routes, reason, "; ".join(self._refused) or None)

    def _address(self, version: str | None) -> str:
        return self._name if version is None else f"{self._name}@{version}"

    def _champion(self, rollout: Rollout, versions: Mapping[str, VersionState]) -> LoadedBundle | None:
        wanted, before = versions[rollout.champion], self._before.champion
        if wanted.reason is None or before is None:
            return wanted.loaded if wanted.reason is None else None
        if before.predictor.version != rollout.champion:
            self._refused.append(wanted.reason)
        return before.config.loaded

    def _server_of(self, rollout: Rollout) -> Callable[[LoadedBundle, str, SlidingCounts | None], ServedVersion]:
        defaults = rollout.on_store_failure == "defaults"

        def serve(loaded: LoadedBundle, role: str, watch: SlidingCounts | None) -> ServedVersion:
            config = VersionConfig(loaded, role, defaults, rollout.cache, watch)
            same = next((served for served in self._served_before if served.config == config), None)
            return same or served_version(config, self._dependencies)

        return serve

    def _fits(
        self, role: str, version: str, champion_bundle: LoadedBundle, versions: Mapping[str, VersionState]
    ) -> bool:
        """Whether a version may serve beside the champion; where not, the reason is noted."""
        state = versions[version]
        if state.loaded is None or state.reason is not None:
            self._refused.append(f"{role} {version}: {state.reason}")
        elif not same_request(state.loaded.predictor.plan, champion_bundle.predictor.plan):
            self._refused.append(
                f"{role} {version}: it takes other requests than the champion {champion_bundle.version}"
            )
        else:
            return version != champion_bundle.version
        return False

    def _canary_window(
        self, canary: Canary | None, champion_bundle: LoadedBundle, versions: Mapping[str, VersionState]
    ) -> CanaryWindow | None:
        """The counts of a canary that may answer; those of before go on where both versions are the same."""
        if canary is None or not self._fits(CANARY, canary.version, champion_bundle, versions):
            return None
        wrong = self._why_not_canary(champion_bundle, versions[canary.version])
        if wrong is not None:
            self._refused.append(f"canary {canary.version}: {wrong}")
            return None
        try:
            draw(champion_bundle.predictor.plan, self._name, canary)
        except RolloutRefused as error:
            self._refused.append(str(error))
            return None
        before, was = self._before.canary, self._before.rollout.canary if self._before.rollout else None
        if (
            before
            and was
            and was.bounds == canary.bounds
            and before.served.config.loaded == versions[canary.version].loaded
            and self._before.champion
            and self._before.champion.config.loaded == champion_bundle
        ):
            return before.window
        return CanaryWindow(canary.bounds)

    def _why_not_canary(self, champion_bundle: LoadedBundle, canary: VersionState) -> str | None:
        """Why a version that takes the champion's requests may not answer some of them."""
        if self._withdrawn is not None:
            return f"it was withdrawn here ({self._withdrawn})"
        signatures = [
            loaded.predictor.bundle.signature for loaded in (champion_bundle, canary.loaded) if loaded is not None
        ]
        return (
            None if same_answer(*signatures) else f"it gives other answers than the champion {champion_bundle.version}"
        )

    def _canary_trial(
        self,
        canary: Canary | None,
        versions: Mapping[str, VersionState],
        trial: CanaryWindow | None,
        serve: Callable[[LoadedBundle, str, SlidingCounts | None], ServedVersion],
    ) -> CanaryTrial | None:
        loaded = versions[canary.version].loaded if canary else None
        if canary is None or trial is None or loaded is None:
            return None
        served = serve(loaded, CANARY, trial.canary)
        return CanaryTrial(served, draw(loaded.predictor.plan, self._name, canary), trial)

    def _shadow_queue(
        self,
        rollout: Rollout,
        champion_bundle: LoadedBundle,
        versions: Mapping[str, VersionState],
        serve: Callable[[LoadedBundle, str, SlidingCounts | None], ServedVersion],
    ) -> ShadowQueue | None:
        version = rollout.shadow
        loaded = versions[version].loaded if version else None
        if version is None or not self._fits(SHADOW, version, champion_bundle, versions) or loaded is None:
            return None
        served = serve(loaded, SHADOW, None)
        if self._shadow_before is not None and self._shadow_before.served is served:
            return self._shadow_before
        return ShadowQueue(served, self._dependencies.metrics)
