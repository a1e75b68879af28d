"""One project's settings, stores and registry, each opened at its first use; every command starts from it.

Held by tests/cli/test_data.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace as replace_struct

from skewless.contract.errors import InvalidPlan, UnsupportedType
from skewless.contract.plan import Plan, PlanView, differences
from skewless.contract.redis_urls import masked
from skewless.contract.storage.stored_name import plain_name, view_name
from skewless.definitions.compiled_views import CompiledView, CompiledViewCache, CompiledViews
from skewless.offline.tables.source import TableSource
from skewless.project.recorded_definitions import RecordedDefinitions
from skewless.runtime.errors import FeastRegistryUnavailable, UnknownFeatureView
from skewless.runtime.settings import ProjectSettings
from skewless.runtime.store_file import require_definitions
from skewless.state.run_history import RunHistory, SqliteRunHistory

if TYPE_CHECKING:
    from feast import FeatureStore

    from skewless.contract.storage.push_target import PushTarget
    from skewless.definitions.compiler import CompiledService
    from skewless.online.store.online_project import OnlineProject
    from skewless.online.store.redis_protocol import SyncRedis
    from skewless.online.store.store import SyncOnlineStore
    from skewless.project.declared_models import ModelDefaults, ProjectModels
    from skewless.project.declared_tables import DeclaredTables
    from skewless.state.database import StateDatabase


class ProjectContext:
    """Feast's store, the state database and the online store of one project. Each is imported and opened at its first
    use, so that a command pays only for what it uses.
    """

    def __init__(self, settings: ProjectSettings) -> None:
        self.settings = settings
        self.folders = settings.folders

    def close(self) -> None:
        """Close what was opened: connections to the online store and to the state database."""
        for name in ("client", "history", "state"):
            opened: SyncRedis | SqliteRunHistory | StateDatabase | None = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()

    @cached_property
    def store(self) -> FeatureStore:
        """Feast's store of the definitions. Raises: FeatureRepoMissing, FeastRegistryUnavailable."""
        repo = self._repo()
        from feast import FeatureStore

        with self._registry():
            return FeatureStore(repo_path=str(repo))

    def _repo(self) -> Path:
        return require_definitions(self.settings.feature_repo)

    @contextmanager
    def _registry(self) -> Iterator[None]:
        """Map errors of the registry's database. Raises: FeastRegistryUnavailable."""
        from sqlalchemy.exc import InterfaceError, OperationalError

        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise FeastRegistryUnavailable(masked(self.settings.registry_url), str(error.orig)) from error

    @cached_property
    def project(self) -> str:
        """The project's name."""
        compiled = self._compiled_views()
        return compiled.project if compiled else str(self.store.project)

    @cached_property
    def state(self) -> StateDatabase:
        """The state database. Raises: StateUnreachable."""
        from skewless.state.database import StateDatabase

        return StateDatabase(self.settings.state_url)

    @cached_property
    def history(self) -> RunHistory:
        """What the state database says, for who only reads it. Raises: StateUnreachable."""
        return SqliteRunHistory.open(self.settings.state_url) or self.state

    @cached_property
    def client(self) -> SyncRedis:
        """A connection to the online store; the embedded server is started if needed. Raises: as `online`."""
        from skewless.online.store import embedded_valkey
        from skewless.online.store.connection import connect

        return connect(embedded_valkey.ensure(self.settings))

    @cached_property
    def online(self) -> SyncOnlineStore:
        """The online store. Raises: RedisUnreachable, EmbeddedServerFailed."""
        from skewless.online.store.store import SyncOnlineStore

        return SyncOnlineStore(self.client, self.project)

    @cached_property
    def online_project(self) -> OnlineProject:
        """The online store with its watermarks and runs in the state database. Raises: as `online` and `state`."""
        from skewless.online.store.online_project import OnlineProject

        return OnlineProject(self.project, self.online, self.state)

    @cached_property
    def models(self) -> ProjectModels:
        """The models that the project declares. Raises: FeatureRepoMissing, BadModels."""
        from skewless.project import declared_models

        return declared_models.read(self._repo())

    def model(self, name: str | None, service: str | None = None) -> ModelDefaults:
        """The declared defaults of a model; without a name of the only one (on that feature service). Raises: BadModels."""
        return self.models.choose(name, service)

    @cached_property
    def tables(self) -> DeclaredTables:
        """The project's declared tables. Raises: RepoModuleFailed, BadTable, and the SkewlessErrors of its modules."""
        from skewless.project import declared_tables

        return declared_tables.read(self.settings.feature_repo)

    @cached_property
    def data(self) -> Path:
        """The folder that relative source paths start from."""
        compiled = self._compiled_views()
        if compiled:
            return compiled.data
        from skewless.definitions.data_folder import data_folder

        return data_folder(self.store.config)

    @cached_property
    def _cache(self) -> CompiledViewCache:
        folders, settings = self.folders, self.settings
        return CompiledViewCache(folders.compiled_views, self._repo(), folders.root, settings.registry_url)

    @cached_property
    def recorded(self) -> RecordedDefinitions:
        """The records of applied definitions."""
        return RecordedDefinitions(self.settings.state_url, lambda: self.state, self.project, self.data)

    def _compiled_views(self) -> CompiledViews | None:
        """The online feature views as the registry has them now: from the cache, else by Feast.

        None where one of them does not compile, or the registry is not that of the settings. Stored names are the plain ones.
        """
        return self._cache.read() or self._compile()

    def _compile(self) -> CompiledViews | None:
        from feast.errors import FeastError

        from skewless.definitions.compiler import compile_views
        from skewless.runtime.store_file import of_settings

        if not of_settings(getattr(self.store.config.registry, "path", "")):
            return None
        content = self._cache.content(str(self.store.project))
        with self._registry(), suppress(InvalidPlan, UnsupportedType, FeastError):
            self.store.refresh_registry()
            compiled = compile_views(self.store)
            if content is not None and content == self._cache.content(compiled.project):
                self._cache.write(compiled, content)
            return compiled
        return None

    def service(self, name: str) -> CompiledService:
        """A feature service, compiled. Raises: InvalidPlan, UnsupportedType, Untraceable, FeastRegistryUnavailable."""
        from skewless.definitions.compiler import compile_service

        with self._registry():
            compiled = compile_service(self.store, name, self.data)
        names = self.recorded.names
        plan = replace_struct(compiled.plan, views=tuple(map(names.of, compiled.plan.views)))
        return replace(compiled, plan=plan)

    def compiled(self, only: Sequence[str] = ()) -> list[CompiledView]:
        """The online feature views, or those named, each once, with the tags of their definitions.

        Raises: UnknownFeatureView, InvalidPlan, FeastRegistryUnavailable.
        """
        compiled, names = self._compiled_views(), self.recorded.names
        if compiled:
            return [view.stored_by(names.of) for view in compiled.named(only)]
        from skewless.definitions.compiler import compile_tagged, stored_views

        with self._registry():
            views = [compile_tagged(self.store, view, self.data) for view in stored_views(self.store, only)]
        return [view.stored_by(names.of) for view in views]

    def stored(self, only: Sequence[str] = ()) -> list[tuple[PlanView, TableSource]]:
        """The same without tags. Raises: UnknownFeatureView, InvalidPlan, FeastRegistryUnavailable."""
        return [(view.plan, view.source) for view in self.compiled(only)]

    def retained(self) -> list[CompiledView]:
        """The superseded definitions whose rows are still stored, by stored name; none of a view that does not compile now.

        Raises: InvalidPlan, FeastRegistryUnavailable, StateUnreachable.
        """
        return self._retained(*self._online_views())

    def _retained(self, usable: Sequence[CompiledView], registered: set[str]) -> list[CompiledView]:
        """`retained`, for the online feature views as `_online_views` returned them."""
        current = [view.plan.stored_as for view in usable]
        unknown = registered - set(map(view_name, current))
        return [view for view in self.recorded.retained(current) if view_name(view.plan.stored_as) not in unknown]

    def definitions(self, only: Sequence[str] = ()) -> list[tuple[PlanView, TableSource]]:
        """Every definition that the online store holds, of all views or those named: the current ones, then those that live
        models still read.

        Raises: as `stored`, StateUnreachable.
        """
        kept = [view for view in self.retained() if not only or view_name(view.plan.stored_as) in only]
        removed = {view_name(view.plan.stored_as) for view in kept}
        try:
            current = self.stored(only)
        except UnknownFeatureView:
            if not removed.issuperset(only):
                raise
            current = []
        return current + [(view.plan, view.source) for view in kept]

    def definition(self, stored_as: str) -> tuple[PlanView, TableSource]:
        """The definition that is stored under a name. Raises: as `definitions`."""
        known = {view.stored_as: (view, source) for view, source in self.definitions()}
        if stored_as not in known:
            raise UnknownFeatureView(stored_as, tuple(sorted(known)))
        return known[stored_as]

    def stored_name(self, view: str) -> str:
        """The name that the current definition of a view is stored under, or the stored name of any. Raises: as `definitions`."""
        named = [
            known.stored_as for known, source in self.definitions() if known.name == view and not source.superseded
        ]
        return named[0] if named else self.definition(view)[0].stored_as

    def targets(self) -> dict[str, PushTarget]:
        """The push targets of all online feature views by name; they are written to the online store too.

        A view that does not compile has none, without an effect on the other views.
        """
        from skewless.online.push.push import targets

        usable, registered = self._online_views()
        views, superseded = (
            [(v.plan, v.source) for v in some] for some in (usable, self._retained(usable, registered))
        )
        push_targets = targets(views, self.data, superseded)
        self.online.accept(list(push_targets.values()))
        return push_targets

    def stored_outputs(self) -> tuple[str, ...]:
        """The on-demand views whose outputs are stored, by name. Raises: FeastRegistryUnavailable."""
        compiled = self._compiled_views()
        if compiled:
            return compiled.stored_outputs
        with self._registry():
            on_demand = self.store.list_on_demand_feature_views()
        return tuple(sorted(view.name for view in on_demand if view.write_to_online_store))

    def _online_views(self) -> tuple[list[CompiledView], set[str]]:
        """The online feature views that compile, and the names of all, whether they compile or not."""
        compiled, names = self._compiled_views(), self.recorded.names
        if compiled:
            return [view.stored_by(names.of) for view in compiled.views], {view.plan.name for view in compiled.views}
        from skewless.definitions.compiler import compile_tagged, stored_views

        usable = []
        with self._registry():
            definitions = stored_views(self.store)
        for definition in definitions:
            with suppress(InvalidPlan, UnsupportedType):
                usable.append(compile_tagged(self.store, definition, self.data).stored_by(names.of))
        return usable, {definition.name for definition in definitions}

    def fresh_targets(self) -> dict[str, PushTarget]:
        """`targets`, as the registry has them now. Raises: FeastRegistryUnavailable."""
        if not self._compiled_views():
            with self._registry():
                self.store.refresh_registry()
        return self.targets()

    def target(self, view: str) -> PushTarget:
        """The push target of one view. Raises: UnknownFeatureView."""
        if view not in {plain_name(kept.plan.stored_as) for kept in self.retained()}:
            self.stored([view])
        return self.targets()[view]

    def confirm(self, model: str, plan: Plan) -> None:
        """Refuse a plan whose features are defined differently in the registry now. Raises: DefinitionsChanged."""
        from skewless.definitions.applied_transform import applied_transform
        from skewless.definitions.compatibility import confirm
        from skewless.definitions.compiler import compile_view

        known = {view.name for view in self.store.list_feature_views()}

        def stored(view: PlanView) -> PlanView | None:
            bare = view_name(view.stored_as)
            return compile_view(self.store, self.store.get_feature_view(bare), self.data)[0] if bare in known else None

        applied = [applied_transform(view) for view in self.store.list_on_demand_feature_views()]
        confirm(model, plan, stored, {transform.name: transform.digest for transform in applied if transform})

    def confirm_scorable(self, model: str, plan: Plan) -> None:
        """Refuse a published plan that no stored definition fits: not the current ones, nor those kept for live models. Its
        transforms are those of its bundle. Raises: DefinitionsChanged.
        """
        from skewless.definitions.compatibility import confirm

        confirm(model, plan, self.defined_now)

    def sources(self, plan: Plan) -> dict[str, TableSource]:
        """The tables of a plan's views, by view name. Raises: UnknownFeatureView, InvalidPlan."""
        return {view.name: self.trained_on(view)[1] for view in plan.views}

    def defined_now(self, view: PlanView) -> PlanView | None:
        """The definition that is stored under the name that a plan reads; else the view's current one, or None."""
        known = [stored for stored, _ in self.definitions()]
        same = [stored for stored in known if stored.stored_as == view.stored_as]
        current = [stored for stored in known if view_name(stored.stored_as) == view_name(view.stored_as)]
        return next(iter(same + current), None)

    def trained_on(self, view: PlanView) -> tuple[PlanView, TableSource]:
        """The definition of a view that a model was trained on, with its table; where that was not recorded, the registry's
        definition of the view. Raises: UnknownFeatureView, InvalidPlan.
        """
        from skewless.definitions.compiler import compile_view, stored_views

        usable, _ = self._online_views()
        current = next((compiled for compiled in usable if compiled.plan.stored_as == view.stored_as), None)
        if current is None or differences(view, current.plan, view.fields):
            current = self.recorded.of(view) or current
        if current is not None:
            return current.plan, current.source
        (definition,) = stored_views(self.store, [view_name(view.stored_as)])
        return compile_view(self.store, definition, self.data)
