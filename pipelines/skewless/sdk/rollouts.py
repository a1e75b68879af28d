"""Which versions of each model serve predictions: `project.models`.

Held by tests/model/publishing/test_rollout_steps.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skewless.html.table import PageTable
from skewless.sdk.arguments import BadArgument
from skewless.sdk.results import ShownResult

if TYPE_CHECKING:
    from skewless.contract.rollout.rollout import GuardrailBounds, Rollout
    from skewless.model.publishing.rollout_steps import ChangeAuthor
    from skewless.registry.model_registry import ModelRegistry
    from skewless.sdk.session import ProjectSession


@dataclass(frozen=True, slots=True, repr=False)
class ModelVersions(ShownResult):
    """The versions of a model by role (champion, canary, shadow, pinned), and its `others`; `retired` is why it answers no
    more, None where it does.
    """

    model: str
    roles: dict[str, str]
    others: list[str]
    retired: str | None = None

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        versions = [f"{version} {role}" for version, role in self.roles.items()]
        retired = f"; retired: {self.retired}" if self.retired is not None else ""
        return [f"{self.model}: {', '.join([*versions, *self.others])}{retired}"]


@dataclass(frozen=True, slots=True, repr=False)
class PublishedModels(ShownResult):
    """Every published model."""

    models: list[ModelVersions]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [line for model in self.models for line in model.lines()]

    def tables(self) -> list[PageTable]:
        """Models and versions."""
        rows = [
            (one.model, version, role if one.retired is None else f"retired: {one.retired}")
            for one in self.models
            for version, role in [*one.roles.items(), *((version, "") for version in one.others)]
        ]
        return [PageTable("", "", ("model", "version", "role"), tuple(rows), texts=True)]

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment

        return fragment([], self.tables())


@dataclass(frozen=True, slots=True, repr=False)
class RolloutHistory(ShownResult):
    """A model's rollout after each change of it, the present one last."""

    rollouts: list[Rollout]

    @property
    def current(self) -> Rollout:
        """The rollout as it stands."""
        return self.rollouts[-1]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        changes = [(rollout.revision, rollout.change) for rollout in self.rollouts]
        return [f"{number:>4}  {one.at}  {one.by}: {one.what} ({one.reason})" for number, one in changes]

    def tables(self) -> list[PageTable]:
        """The changes."""
        rows = [
            (str(rollout.revision), rollout.change.at, rollout.change.by, rollout.change.what, rollout.change.reason)
            for rollout in self.rollouts
        ]
        return [PageTable("", "", ("revision", "at", "by", "change", "reason"), tuple(rows), texts=True)]

    def _repr_html_(self) -> str:
        from skewless.html.fragment import fragment

        roles = [f"{version} {role}" for version, role in self.current.roles.items()]
        return fragment([", ".join(roles)], self.tables())


@dataclass(frozen=True, slots=True, repr=False)
class ChangedRollout(ShownResult):
    """A rollout after a change; `warnings` say why servers will not answer with a version of it yet."""

    rollout: Rollout
    warnings: list[str] = field(default_factory=list)

    @property
    def revision(self) -> int:
        """The number of the change."""
        return self.rollout.revision

    @property
    def roles(self) -> Mapping[str, str]:
        """The role of each version that serves."""
        return self.rollout.roles

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        roles = ", ".join(f"{version} {role}" for version, role in self.roles.items())
        change = f"revision {self.revision}, {self.rollout.change.what}: {roles}"
        return [change, *(f"warning: {text}" for text in self.warnings)]


@dataclass(frozen=True, slots=True, repr=False)
class DeletedVersions(ShownResult):
    """The versions of a model that were deleted."""

    model: str
    versions: tuple[str, ...]

    def lines(self) -> list[str]:
        """The result as text, line by line."""
        return [f"{self.model}: {', '.join(self.versions)} deleted"]


class ModelRollouts:
    """The published models of a project and their rollouts. Each change records who made it (`by`, by default the names of
    account and machine), when, and the `reason`; each raises RolloutRefused where it cannot be.
    """

    def __init__(self, session: ProjectSession) -> None:
        self._session = session

    @property
    def _registry(self) -> ModelRegistry:
        return self._session.settings.registry

    def _signed(self, by: str | None, reason: str) -> ChangeAuthor:
        from skewless.model.publishing.rollout_steps import ChangeAuthor

        return ChangeAuthor(by or self._session.author(), self._session.now(), reason)

    def list(self) -> PublishedModels:
        """Every model: its roles and its other versions. Raises: RegistryUnreadable."""
        registry, models = self._registry, []
        for model in registry.models():
            rollout = registry.rollout(model)
            roles = dict(rollout.roles) if rollout else {}
            others = [version for version in registry.versions(model) if version not in roles]
            models.append(ModelVersions(model, roles, others, rollout.retired if rollout else None))
        return PublishedModels(models)

    def show(self, model: str) -> RolloutHistory:
        """A model's rollout, and each change of it. Raises: StepInputMissing where no version is published."""
        from skewless.model.publishing.rollout_steps import champion_version

        registry = self._registry
        champion_version(registry, model)
        return RolloutHistory([*registry.history(model)])

    def promote(self, model: str, version: str, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Make a version the champion; it takes the place of an invalid rollout too. Raises: InvalidBundle."""
        from skewless.model.publishing.rollout_steps import make_champion

        return self._checked(model, make_champion(self._registry, model, version, self._signed(by, reason)))

    def canary(
        self,
        model: str,
        version: str | None = None,
        *,
        reason: str,
        weight: float = 0.05,
        key: str | Sequence[str] = (),
        bounds: GuardrailBounds | str | Path | None = None,
        by: str | None = None,
    ) -> ChangedRollout:
        """Try a version on the share `weight` of the entities, in (0, 1]; without a version, end the trial.

        `key`: the join keys by which entities are split; by default all. `bounds`: beyond them the canary is withdrawn; a
        JSON file of them, or an object; by default as they are. Raises: InvalidBundle.
        """
        from skewless.contract.rollout.rollout import end_canary, trial_of
        from skewless.model.publishing import rollout_steps as verb
        from skewless.sdk.arguments import names

        registry, signed = self._registry, self._signed(by, reason)
        if version is None:
            return ChangedRollout(verb.change(registry, model, end_canary(model), signed))
        trial = trial_of(model, registry.rollout(model), version, weight, names(key), self._bounds(bounds))
        return self._checked(model, verb.try_canary(registry, model, trial, signed))

    def shadow(self, model: str, version: str | None = None, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Score requests with a version beside the champion and log the scores; without a version, end it. Raises: InvalidBundle."""
        from skewless.model.publishing import rollout_steps as verb

        return self._checked(model, verb.shadow(self._registry, model, version, self._signed(by, reason)))

    def rollback(self, model: str, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Take the last step back: the canary where there is one, else the last promotion. Raises: InvalidBundle."""
        from skewless.model.publishing.rollout_steps import restore_previous

        return ChangedRollout(restore_previous(self._registry, model, self._signed(by, reason)))

    def pin(self, model: str, version: str, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Let requests name a version. Raises: InvalidBundle."""
        from skewless.model.publishing.rollout_steps import pin_version

        return self._checked(model, pin_version(self._registry, model, version, self._signed(by, reason)))

    def unpin(self, model: str, version: str, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Requests may no longer name this version."""
        from skewless.contract.rollout.rollout import unpin
        from skewless.model.publishing.rollout_steps import change

        return ChangedRollout(change(self._registry, model, unpin(model, version), self._signed(by, reason)))

    def retire(self, model: str, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Let no version of a model answer any more; servers answer 410 with the reason."""
        from skewless.contract.rollout.rollout import retire
        from skewless.model.publishing.rollout_steps import change

        return ChangedRollout(change(self._registry, model, retire(model, reason), self._signed(by, reason)))

    def restore(self, model: str, *, reason: str, by: str | None = None) -> ChangedRollout:
        """Let a retired model answer again, each version in the role that it had."""
        from skewless.contract.rollout.rollout import restore
        from skewless.model.publishing.rollout_steps import change

        return self._checked(model, change(self._registry, model, restore(model), self._signed(by, reason)))

    def delete(
        self,
        model: str,
        version: str | None = None,
        *,
        every: bool = False,
        reason: str = "deleted",
        by: str | None = None,
    ) -> DeletedVersions:
        """Delete a version that has no role; or, of a retired model, `every` version and its history."""
        from skewless.model.publishing import deletion

        if (version is None) == (not every):
            raise BadArgument(
                self._session.spelled("version"), "names one version, and every=True all: give one of them"
            )
        settings = self._session.settings
        if version is None:
            versions = deletion.delete_model(settings.registry, settings.folders.models, model)
            return DeletedVersions(model, tuple(versions))
        author = self._signed(by, reason)
        deletion.delete_version(settings.registry, settings.folders.models, model, version, author)
        return DeletedVersions(model, (version,))

    def policy(
        self,
        model: str,
        *,
        reason: str,
        on_store_failure: Literal["reject", "defaults"] | None = None,
        cache_rows: int | None = None,
        cache_ttl_s: float = 60.0,
        by: str | None = None,
    ) -> ChangedRollout:
        """Set how a model's versions serve. `on_store_failure`: refuse while the store is away, or score defaults.
        `cache_rows`: scores that each process keeps for `cache_ttl_s` seconds; 0 keeps none. None leaves one as it is.
        """
        from skewless.contract.rollout.rollout import CachePolicy, set_policy
        from skewless.model.publishing.rollout_steps import change

        if on_store_failure is None and cache_rows is None:
            spelled = self._session.spelled
            raise BadArgument(
                spelled("on_store_failure"), f"or {spelled('cache_rows')} says what to change; give one of them"
            )
        cache: CachePolicy | Literal["off"] | None = "off" if cache_rows == 0 else None
        if cache_rows:
            cache = CachePolicy(cache_rows, cache_ttl_s)
        step = set_policy(model, on_store_failure=on_store_failure, cache=cache)
        return ChangedRollout(change(self._registry, model, step, self._signed(by, reason)))

    def _bounds(self, bounds: GuardrailBounds | str | Path | None) -> GuardrailBounds | None:
        from skewless.contract.rollout.rollout import bounds_from_json

        if not isinstance(bounds, str | Path):
            return bounds
        if not Path(bounds).is_file():
            raise BadArgument(self._session.spelled("bounds"), f"there is no file {bounds}")
        return bounds_from_json(Path(bounds).read_bytes(), str(bounds))

    def _checked(self, model: str, rollout: Rollout) -> ChangedRollout:
        return ChangedRollout(rollout, view_warnings(self._session, model))


def view_warnings(session: ProjectSession, model: str) -> list[str]:
    """Why servers will not answer with versions that have a role: the online store lacks a view that they read.

    None while the embedded server does not run: then nothing is served either.
    """
    from skewless.model.publishing.rollout_steps import unservable
    from skewless.online.store import embedded_valkey
    from skewless.online.store.connection import RedisUnreachable, connect

    settings = session.settings
    server = embedded_valkey.status(settings.folders) if settings.embedded else None
    if settings.embedded and server is None:
        return []
    try:
        client = connect(server.url if server else settings.redis_url)
    except RedisUnreachable as error:
        return [f"it was not checked whether the online store has what the model reads: {error}"]
    try:
        return unservable(settings.registry, model, client)
    except RedisUnreachable as error:
        return [f"it was not checked whether the online store has what the model reads: {error}"]
    finally:
        client.close()
