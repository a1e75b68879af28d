"""The models that this process serves, and how it takes up new ones without a restart.

What is served is what the registry's rollouts say (`skewless.contract.rollout.rollout`), once the bundles have proven themselves
and the online store means the same by their features. A bad one never replaces a good one. One that is served and
whose features come to mean something else stops answering. A canary that leaves its bounds is withdrawn, by whichever
process sees it first.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import structlog

from skewless.contract.errors import ContractMismatch, RegistryUnreadable, RolloutRefused, SkewlessError
from skewless.contract.rollout.rollout import Rollout, end_canary
from skewless.contract.storage.catalog import confirm, view_field
from skewless.contract.timestamps import from_micros
from skewless.registry.model_registry import ModelRegistry
from skewless.server.errors import ModelNotReady, UnknownModel, UnknownVersion
from skewless.server.rollout.dependencies import VersionDependencies
from skewless.server.rollout.model_version import LoadedBundle, loaded
from skewless.server.rollout.role_assignment import ModelState, RoleAssignment, VersionState
from skewless.server.rollout.router import ModelRouter

_UNCONFIRMED = ""
_log = structlog.get_logger(__name__)


class LiveModels:
    """All models of a registry. `refresh` looks for changes; requests see the outcome whole, between two of them."""

    def __init__(self, registry: ModelRegistry, parts: VersionDependencies) -> None:
        self._registry, self._parts = registry, parts
        self._store, self._metrics = parts.store, parts.metrics
        self._slots: dict[str, ModelState] = {}
        self._routes: dict[str, ModelRouter] = {}
        self._withdrawn: dict[tuple[str, int], str] = {}
        self.unreadable: str | None = None

    @property
    def slots(self) -> Mapping[str, ModelState]:
        """By model name, sorted."""
        return self._slots

    @property
    def routes(self) -> Mapping[str, ModelRouter]:
        """By `model` and `model@version`, those that answer now; another mapping after each refresh."""
        return self._routes

    def route(self, address: str) -> ModelRouter:
        """Who answers at `model` or `model@version`. Raises: UnknownModel, UnknownVersion, ModelNotReady."""
        found = self._routes.get(address)
        if found is not None:
            return found
        name, at, version = address.partition("@")
        slot = self._slots.get(name)
        if slot is None:
            raise UnknownModel(name)
        if not at:
            raise ModelNotReady(name, slot.reason or "it has no champion")
        held = slot.held.get(version)
        if held is None or slot.rollout is None or version not in slot.rollout.roles:
            raise UnknownVersion(name, version[:128])
        raise ModelNotReady(address, held.reason or "it is not taken up yet")

    async def refresh(self) -> None:
        """Take up what changed in the registry or in the store. Whatever is wrong with a model is kept in its slot."""
        await self._judge()
        try:
            names = await asyncio.to_thread(self._registry.models)
            self.unreadable = None
        except RegistryUnreadable as error:
            _log.exception("registry_unreadable")
            names, self.unreadable = list(self._slots), str(error)
        fresh = {name: await self._looked_at(name, self._slots.get(name, ModelState())) for name in names}
        for name in self._slots.keys() - fresh.keys():
            _log.warning("model_removed", model=name)
            self._metrics.ready.labels(name).set(0)
        self._slots = fresh
        self._routes = {route.address: route for slot in fresh.values() for route in slot.routes.values()}

    async def keep_fresh(self, every_s: float) -> None:
        """Refresh for ever. Raises nothing but asyncio.CancelledError."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - the next look may go better; what is served stays
                _log.exception("models_refresh_failed", registry=self._registry.address)

    async def _looked_at(self, name: str, seen: ModelState) -> ModelState:
        broken = None
        try:
            rollout = await asyncio.to_thread(self._registry.rollout, name, seen.rollout)
        except SkewlessError as error:
            rollout, broken = seen.rollout, str(error)
        if rollout is None:
            slot = ModelState(reason=broken or seen.reason, refused=broken)
        else:
            cast = RoleAssignment(name, seen, self._parts, withdrawn=self._withdrawn.get((name, rollout.revision)))
            slot = cast.slot(rollout, await self._held(name, rollout, seen))
            slot = replace(slot, refused=broken or slot.refused)
            self._metrics.revision.labels(name).set(rollout.revision)
        self._tell(name, seen, slot)
        return slot

    def _tell(self, name: str, seen: ModelState, slot: ModelState) -> None:
        if slot.refused is not None and slot.refused != seen.refused:
            _log.error("rollout_refused", model=name, keeps=slot.version, reason=slot.refused)
            self._metrics.refusals.labels(name).inc()
        if slot.rollout is not None and slot.rollout is not seen.rollout:
            _log.info("rollout", model=name, revision=slot.rollout.revision, what=slot.rollout.change.what)
        if (slot.version, slot.reason) != (seen.version, seen.reason):
            _log.info("model_state", model=name, version=slot.version, ready=not slot.reason, reason=slot.reason)
        self._metrics.ready.labels(name).set(0 if slot.reason else 1)

    async def _held(self, name: str, rollout: Rollout, seen: ModelState) -> dict[str, VersionState]:
        """The versions that the rollout names, and the champion that answers until its successor does."""
        versions = dict.fromkeys(rollout.roles)
        if seen.version is not None:
            versions.setdefault(seen.version)
        return {version: await self._one_held(name, version, seen.held.get(version)) for version in versions}

    async def _one_held(self, name: str, version: str, before: VersionState | None) -> VersionState:
        if before is None or before.loaded is None:
            try:
                files = await asyncio.to_thread(self._registry.seen, name, version)
                if before is not None and before.seen == files:
                    return before
                before = VersionState(files, await asyncio.to_thread(self._opened, name, version), _UNCONFIRMED)
            except RegistryUnreadable as error:
                return before or VersionState((), None, str(error))
            except SkewlessError as error:
                return VersionState(files, None, str(error))
            except OSError as error:
                return VersionState((), None, f"its files cannot be read ({type(error).__name__})")
        return await self._confirmed(before)

    def _opened(self, name: str, version: str) -> LoadedBundle:
        """Raises: SkewlessError, OSError."""
        return loaded(self._registry.bundle(name, version), name, version, self._parts.processor)

    async def _confirmed(self, held: VersionState) -> VersionState:
        """Whether the store means the same by a version's features; as before while the store is silent."""
        plan = held.loaded.predictor.plan if held.loaded else None
        if plan is None or not plan.views:
            return replace(held, reason=held.reason or None)
        fields = [view_field(view.stored_as) for view in plan.views]
        try:
            confirm(plan, await self._store.catalog(plan.project, fields))
        except ContractMismatch as error:
            return replace(held, reason=str(error))
        except msgspec.MsgspecError:
            why = ContractMismatch(plan.name, ("the store's catalog does not parse",))
            return replace(held, reason=str(why))
        except SkewlessError as error:
            return replace(held, reason=str(error)) if held.reason == _UNCONFIRMED else held
        return replace(held, reason=None)

    async def _judge(self) -> None:
        """Withdraw canaries that left their bounds. Where the registry takes no change, this process does so alone."""
        at = asyncio.get_running_loop().time()
        for name, slot in self._slots.items():
            trying, rollout = slot.trying, slot.rollout
            reason = trying.trial.verdict(at) if trying else None
            if trying is None or rollout is None or reason is None:
                continue
            version = trying.answerer.predictor.version
            self._withdrawn[name, rollout.revision] = reason
            self._metrics.withdrawals.labels(name, version).inc()
            _log.warning("canary_withdrawn", model=name, version=version, reason=reason)
            try:
                await asyncio.to_thread(self._withdraw, name, version, reason)
            except RolloutRefused:
                pass  # another process was quicker
            except SkewlessError as error:
                _log.error("canary_withdrawn_here_only", model=name, version=version, reason=str(error))

    def _withdraw(self, name: str, version: str, reason: str) -> None:
        now = from_micros(self._parts.clock())
        self._registry.change(name, end_canary(name, version), by=f"server on {platform.node()}", at=now, reason=reason)
