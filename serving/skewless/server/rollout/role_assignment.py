"""Who plays which role of a model's rollout, given which versions have proven themselves. Decides; does no I/O.

A champion that may not answer never replaces one that does. A canary or shadow that may not answer, or takes other
requests than the champion, is left out, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skewless.contract.errors import RolloutRefused
from skewless.contract.registry.model_registry import Seen
from skewless.contract.registry.rollout import Canary, Rollout, same_answer, same_request
from skewless.contract.registry.traffic_split import draw
from skewless.server.metrics.canary_window import Trial, Watch
from skewless.server.rollout.model_version import (
    CANARY,
    CHAMPION,
    PINNED,
    SHADOW,
    Answerer,
    Casting,
    Loaded,
    Parts,
    answerer,
)
from skewless.server.rollout.router import Route, Trying
from skewless.server.rollout.shadow import Shadow


@dataclass(frozen=True, slots=True)
class Held:
    """A version that a rollout names: its files when it was opened, and the `reason` why it may not answer."""

    seen: Seen
    loaded: Loaded | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Slot:
    """What one model has: the champion that was taken up last, if any, and the `reason` why it does not answer.

    `refused` is why the rollout is not in force as it stands. `routes` are by the pinned version, None for no version;
    those that do not answer are not there.
    """

    rollout: Rollout | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    champion: Answerer | None = None
    routes: Mapping[str | None, Route] = field(default_factory=dict)
    reason: str | None = "it was not looked at yet"
    refused: str | None = None

    @property
    def version(self) -> str | None:
        return self.champion.predictor.version if self.champion else None

    @property
    def trying(self) -> Trying | None:
        """The canary that answers."""
        route = self.routes.get(None)
        return route.trying if route else None


class Cast:
    """The roles of one model, recast from those it had: who stays what it was is not made anew."""

    def __init__(self, name: str, seen: Slot, parts: Parts, *, withdrawn: str | None = None) -> None:
        """`withdrawn`: why the canary does not answer here, whatever the rollout says."""
        self._name, self._parts, self._withdrawn = name, parts, withdrawn
        known = [seen.champion, *(route.champion for route in seen.routes.values())]
        known += [seen.trying.answerer] if seen.trying else []
        self._shadow = seen.routes[None].shadow if None in seen.routes else None
        known += [self._shadow.answerer] if self._shadow else []
        self._known = [one for one in known if one is not None]
        self._before = seen
        self._refused: list[str] = []

    def slot(self, rollout: Rollout, held: Mapping[str, Held]) -> Slot:
        """The model under a rollout all of whose versions are held, as is the champion before."""
        chief = self._chief(rollout, held)
        if chief is None:
            why = held[rollout.champion].reason
            return Slot(rollout, held, reason=why, refused=why)
        reason = held[chief.version].reason
        trial = self._trial(rollout.canary, chief, held)
        made = self._maker(rollout)
        champion = made(chief, CHAMPION, trial.champion if trial else None)
        routes: dict[str | None, Route] = {
            version: Route(self._address(version), made(one.loaded, PINNED, None))
            for version, one in held.items()
            if one.loaded is not None and one.reason is None and version in rollout.roles
        }
        if reason is None:
            trying = self._trying(rollout.canary, held, trial, made)
            routes[None] = Route(self._address(None), champion, trying, self._shadowing(rollout, chief, held, made))
        return Slot(rollout, held, champion, routes, reason, "; ".join(self._refused) or None)

    def _address(self, version: str | None) -> str:
        return self._name if version is None else f"{self._name}@{version}"

    def _chief(self, rollout: Rollout, held: Mapping[str, Held]) -> Loaded | None:
        wanted, before = held[rollout.champion], self._before.champion
        if wanted.reason is None or before is None:
            return wanted.loaded if wanted.reason is None else None
        if before.predictor.version != rollout.champion:
            self._refused.append(wanted.reason)
        return before.casting.loaded

    def _maker(self, rollout: Rollout) -> Callable[[Loaded, str, Watch | None], Answerer]:
        defaults = rollout.on_store_failure == "defaults"

        def made(loaded: Loaded, role: str, watch: Watch | None) -> Answerer:
            casting = Casting(loaded, role, defaults, rollout.cache, watch)
            found = next((one for one in self._known if one.casting == casting), None)
            return found or answerer(casting, self._parts)

        return made

    def _fits(self, role: str, version: str, chief: Loaded, held: Mapping[str, Held]) -> bool:
        """Whether a version may play beside the champion."""
        one = held[version]
        if one.loaded is None or one.reason is not None:
            self._refused.append(f"{role} {version}: {one.reason}")
        elif not same_request(one.loaded.predictor.plan, chief.predictor.plan):
            self._refused.append(f"{role} {version}: it takes other requests than the champion {chief.version}")
        else:
            return version != chief.version
        return False

    def _trial(self, canary: Canary | None, chief: Loaded, held: Mapping[str, Held]) -> Trial | None:
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
        return Trial(canary.bounds)

    def _wrong(self, chief: Loaded, canary: Held) -> str | None:
        """Why a version that takes the champion's requests may not answer some of them."""
        if self._withdrawn is not None:
            return f"it was withdrawn here ({self._withdrawn})"
        forms = [one.predictor.bundle.form for one in (chief, canary.loaded) if one is not None]
        return None if same_answer(*forms) else f"it gives other answers than the champion {chief.version}"

    def _trying(
        self,
        canary: Canary | None,
        held: Mapping[str, Held],
        trial: Trial | None,
        made: Callable[[Loaded, str, Watch | None], Answerer],
    ) -> Trying | None:
        loaded = held[canary.version].loaded if canary else None
        if canary is None or trial is None or loaded is None:
            return None
        who = made(loaded, CANARY, trial.canary)
        return Trying(who, draw(loaded.predictor.plan, self._name, canary), trial)

    def _shadowing(
        self,
        rollout: Rollout,
        chief: Loaded,
        held: Mapping[str, Held],
        made: Callable[[Loaded, str, Watch | None], Answerer],
    ) -> Shadow | None:
        version = rollout.shadow
        loaded = held[version].loaded if version else None
        if version is None or not self._fits(SHADOW, version, chief, held) or loaded is None:
            return None
        who = made(loaded, SHADOW, None)
        if self._shadow is not None and self._shadow.answerer is who:
            return self._shadow
        return Shadow(who, self._parts.metrics)
