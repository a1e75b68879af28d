"""The models that this process serves, and how it loads new versions without a restart.

The registry's rollouts (`skewless.contract.rollout.rollout`) decide what is served, once a bundle has proven itself and
its features have the definitions of the online store. A bad version never replaces a good one. A served version whose
features change their definition stops answering. A canary that leaves its bounds is withdrawn by the first process
that notices.
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
from skewless.server.errors import ModelNotReady, ModelRetired, UnknownModel, UnknownVersion
from skewless.server.rollout.dependencies import VersionDependencies
from skewless.server.rollout.model_version import LoadedBundle, loaded
from skewless.server.rollout.role_assignment import ModelState, RoleAssignment, VersionState
from skewless.server.rollout.router import ModelRouter

_UNCONFIRMED = ""
_log = structlog.get_logger(__name__)


class LiveModels:
    """All models of a registry. `refresh` applies what changed; a request sees the state before it or after it."""

    def __init__(self, registry: ModelRegistry, dependencies: VersionDependencies) -> None:
        self._registry, self._dependencies = registry, dependencies
        self._store, self._metrics = dependencies.store, dependencies.metrics
        self._states: dict[str, ModelState] = {}
        self._routes: dict[str, ModelRouter] = {}
        self._withdrawn: dict[tuple[str, int], str] = {}
        self.unreadable: str | None = None

    @property
    def states(self) -> Mapping[str, ModelState]:
        """By model name, sorted."""
        return self._states

    @property
    def routes(self) -> Mapping[str, ModelRouter]:
        """By `model` and `model@version`, those that answer now; another mapping after each refresh."""
        return self._routes

    def route(self, address: str) -> ModelRouter:
        """The router of `model` or `model@version`. Raises: UnknownModel, UnknownVersion, ModelRetired, ModelNotReady."""
        route = self._routes.get(address)
        if route is not None:
            return route
        name, at, version = address.partition("@")
        state = self._states.get(name)
        if state is None:
            raise UnknownModel(name)
        if state.retired is not None:
            raise ModelRetired(name, state.retired)
        if not at:
            raise ModelNotReady(name, state.reason or "it has no champion")
        known = state.versions.get(version)
        if known is None or state.rollout is None or version not in state.rollout.roles:
            raise UnknownVersion(name, version[:128])
        raise ModelNotReady(address, known.reason or "it is not taken up yet")

    async def refresh(self) -> None:
        """Apply what changed in the registry or in the store. What is wrong with a model is kept in its state."""
        await self._withdraw_failing_canaries()
        try:
            names = await asyncio.to_thread(self._registry.models)
            self.unreadable = None
        except RegistryUnreadable as error:
            _log.exception("registry_unreadable")
            names, self.unreadable = list(self._states), str(error)
        fresh = {name: await self._refreshed(name, self._states.get(name, ModelState())) for name in names}
        for name in self._states.keys() - fresh.keys():
            _log.warning("model_removed", model=name)
            self._metrics.ready.labels(name).set(0 if self._states[name].retired is None else 1)
        self._states = fresh
        self._routes = {route.address: route for state in fresh.values() for route in state.routes.values()}

    async def keep_fresh(self, every_s: float) -> None:
        """Refresh for ever. Raises nothing but asyncio.CancelledError."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - the next look may go better; what is served stays
                _log.exception("models_refresh_failed", registry=self._registry.address)

    async def _refreshed(self, name: str, seen: ModelState) -> ModelState:
        broken = None
        try:
            rollout = await asyncio.to_thread(self._registry.rollout, name, seen.rollout)
        except SkewlessError as error:
            rollout, broken = seen.rollout, str(error)
        if rollout is None:
            state = ModelState(reason=broken or seen.reason, refused=broken)
        elif rollout.retired is not None:
            state = ModelState(rollout, reason=f"it is retired: {rollout.retired}", refused=broken)
            self._metrics.revision.labels(name).set(rollout.revision)
        else:
            assignment = RoleAssignment(
                name, seen, self._dependencies, withdrawn=self._withdrawn.get((name, rollout.revision))
            )
            state = assignment.assign(rollout, await self._version_states(name, rollout, seen))
            state = replace(state, refused=broken or state.refused)
            self._metrics.revision.labels(name).set(rollout.revision)
        self._report(name, seen, state)
        return state

    def _report(self, name: str, seen: ModelState, state: ModelState) -> None:
        if state.refused is not None and state.refused != seen.refused:
            _log.error("rollout_refused", model=name, keeps=state.version, reason=state.refused)
            self._metrics.refusals.labels(name).inc()
        if state.rollout is not None and state.rollout is not seen.rollout:
            _log.info("rollout", model=name, revision=state.rollout.revision, what=state.rollout.change.what)
        if (state.version, state.reason) != (seen.version, seen.reason):
            _log.info("model_state", model=name, version=state.version, ready=not state.reason, reason=state.reason)
        self._metrics.ready.labels(name).set(0 if state.reason and state.retired is None else 1)

    async def _version_states(self, name: str, rollout: Rollout, seen: ModelState) -> dict[str, VersionState]:
        """The versions that the rollout names, and the champion that answers until its successor does."""
        versions = dict.fromkeys(rollout.roles)
        if seen.version is not None:
            versions.setdefault(seen.version)
        return {version: await self._version_state(name, version, seen.versions.get(version)) for version in versions}

    async def _version_state(self, name: str, version: str, before: VersionState | None) -> VersionState:
        if before is None or before.loaded is None:
            try:
                files = await asyncio.to_thread(self._registry.seen, name, version)
                if before is not None and before.seen == files:
                    return before
                before = VersionState(files, await asyncio.to_thread(self._open, name, version), _UNCONFIRMED)
            except RegistryUnreadable as error:
                return before or VersionState((), None, str(error))
            except SkewlessError as error:
                return VersionState(files, None, str(error))
            except OSError as error:
                return VersionState((), None, f"its files cannot be read ({type(error).__name__})")
        return await self._confirm(before)

    def _open(self, name: str, version: str) -> LoadedBundle:
        """Raises: SkewlessError, OSError."""
        return loaded(self._registry.bundle(name, version), name, version, self._dependencies.processor)

    async def _confirm(self, known: VersionState) -> VersionState:
        """Compare a version's definitions with those of the store; while the store does not answer, nothing changes."""
        plan = known.loaded.predictor.plan if known.loaded else None
        if plan is None or not plan.views:
            return replace(known, reason=known.reason or None)
        fields = [view_field(view.stored_as) for view in plan.views]
        try:
            confirm(plan, await self._store.catalog(plan.project, fields))
        except ContractMismatch as error:
            return replace(known, reason=str(error))
        except msgspec.MsgspecError:
            why = ContractMismatch(plan.name, ("the store's catalog does not parse",))
            return replace(known, reason=str(why))
        except SkewlessError as error:
            return replace(known, reason=str(error)) if known.reason == _UNCONFIRMED else known
        return replace(known, reason=None)

    async def _withdraw_failing_canaries(self) -> None:
        """Withdraw canaries that left their bounds; where the registry accepts no change, in this process alone."""
        at = asyncio.get_running_loop().time()
        for name, state in self._states.items():
            canary, rollout = state.canary, state.rollout
            reason = canary.window.verdict(at) if canary else None
            if canary is None or rollout is None or reason is None:
                continue
            version = canary.served.predictor.version
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
        now = from_micros(self._dependencies.clock())
        self._registry.change(name, end_canary(name, version), by=f"server on {platform.node()}", at=now, reason=reason)
