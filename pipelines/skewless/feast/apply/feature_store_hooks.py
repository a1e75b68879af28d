"""What Feast's `FeatureStore` does more for a project on one of our stores; others pass through.

Feast 0.67 asks its extension points only after it has written the registry, opens the registry without telling the
project's folder, and does not tell an offline store which features its caller asked for. So these methods
of `FeatureStore` are wrapped, once for each process, when a store of ours is loaded: Feast loads them with the configuration,
before the first use of the methods.

Held by tests/feast/apply/test_applied_transforms.py.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

from feast import FeatureStore, OnDemandFeatureView, RepoConfig
from feast.base_feature_view import BaseFeatureView
from feast.feature_view import FeatureViewState
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_contents import RepoContents
from feast.utils import _get_features
from skewless.definitions.compiler import view_of
from skewless.definitions.registry_url import located
from skewless.definitions.transform_binding import bind
from skewless.definitions.whole_seconds import whole_seconds_note
from skewless.feast.apply import older_definitions
from skewless.feast.apply.apply_checks import AppliedDefinitions, infer_mapped_keys
from skewless.feast.apply.registry_file import replace_as_a_whole
from skewless.feast.retrieval_job import SkewlessRetrievalJob

_log = logging.getLogger(__name__)
_versions = count(1)


def install() -> None:
    """Wrap the methods, where that was not done before."""
    wrappers: dict[str, Callable[[Any], Any]] = {
        "_create_registry": _own_registry,
        "_make_inferences": _bound_views,
        "apply": _recorded_apply,
        "get_historical_features": _requested_columns,
        "_materialize_odfv": _stored_outputs,
    }
    for name, wrapper in wrappers.items():
        method = getattr(FeatureStore, name)
        if not hasattr(method, "__wrapped__"):
            setattr(FeatureStore, name, wrapper(method))


def on_our_stores(config: RepoConfig) -> bool:
    """Whether a store of the project is ours."""
    stores = (config.offline_store, config.online_store)
    return any(type(store).__module__.partition(".")[0] == __name__.partition(".")[0] for store in stores)


def _own_registry(create: Callable[[FeatureStore], BaseRegistry]) -> Callable[[FeatureStore], BaseRegistry]:
    """The project's registry from any working folder, replaced as a whole, which serves views in any state."""

    @wraps(create)
    def create_registry(store: FeatureStore) -> BaseRegistry:
        if not on_our_stores(store.config):
            return create(store)
        settings, repo = store.config.registry, store.config.repo_path
        for name in ("path", "read_path"):
            if repo and isinstance(url := getattr(settings, name, None), str):
                setattr(settings, name, located(url, Path(repo)))
        replace_as_a_whole(settings)
        return _versioned(_serving(create(store)))

    return create_registry


def _serving(registry: BaseRegistry) -> BaseRegistry:
    """The registry, which serves views while they are materialized, and after a run that failed or was killed: the newest
    row wins, so what earlier runs wrote stays until it is replaced.
    """
    registry.serve_features_while_materializing = True
    apply_view = registry.apply_feature_view

    @wraps(apply_view)
    def apply_feature_view(view: BaseFeatureView, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Feast's own
        # Feast's state of a view whose run failed; it serves none of them.
        if getattr(view, "state", None) is FeatureViewState.GENERATED:
            view.state = FeatureViewState.AVAILABLE_ONLINE  # type: ignore[attr-defined]
        apply_view(view, *args, **kwargs)

    registry.apply_feature_view = apply_feature_view  # type: ignore[assignment, method-assign]
    return registry


def _versioned(registry: BaseRegistry) -> BaseRegistry:
    """The registry, each of whose states has a version of its own: Feast keeps definitions by the address of the state that they
    were read from, and a later state may lie at the same one. A SQL registry's have no version.
    """
    read = registry.proto

    @wraps(read)
    def proto() -> RegistryProto:
        state = read()
        state.version_id = state.version_id or str(next(_versions))
        return state

    registry.proto = proto  # type: ignore[method-assign]
    return registry


def _bound_views(infer: Callable[..., None]) -> Callable[..., None]:
    """Feast's inference for `plan` and `apply`, which both call it before anything is written."""

    @wraps(infer)
    def make_inferences(
        store: FeatureStore,
        sources: list[Any],
        entities: list[Any],
        views: list[Any],
        on_demand: list[OnDemandFeatureView],
        streams: list[Any],
        services: list[Any],
        labels: list[Any] | None = None,
    ) -> None:
        """Raises: Untraceable, InvalidPlan, UnsupportedType, BadExpectation, FeastUnsupported: nothing was written."""
        if not on_our_stores(store.config):
            infer(store, sources, entities, views, on_demand, streams, services, labels)
            return
        # First without them: an on-demand view is bound to features whose types may have to be inferred.
        infer(store, sources, entities, views, [], streams, [], labels)
        known_entities = _by_name(store.registry.list_entities(store.project), entities)
        infer_mapped_keys(store.config, [*views, *streams], known_entities)
        bind(on_demand, Path(store.config.repo_path or store.repo_path))
        infer(store, sources, entities, views, on_demand, streams, services, labels)
        known_views = _by_name(store.registry.list_feature_views(store.project), [*views, *streams])
        AppliedDefinitions(known_entities, [*views, *streams], labels or [], on_demand, known_views).check(store.config)
        contents = RepoContents([], sources, views, on_demand, streams, labels or [], entities, services, [])
        older_definitions.confirm(store, contents)
        note = whole_seconds_note(view_of(store.config, view, view.projection) for view in [*views, *streams])
        if note:
            _log.warning(note)

    return make_inferences


def _recorded_apply(apply: Callable[..., None]) -> Callable[..., None]:
    """An apply that refuses definitions which were superseded where a model is live, and records the others."""

    @wraps(apply)
    def recorded(store: FeatureStore, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Feast's own
        if not on_our_stores(store.config):
            apply(store, *args, **kwargs)
            return
        given = inspect.signature(apply).bind(store, *args, **kwargs).arguments
        with older_definitions.recorded(store, given.get("objects_to_delete") or []):
            apply(store, *args, **kwargs)

    return recorded


def _by_name(registered: list[Any], applied: list[Any]) -> dict[str, Any]:
    return {definition.name: definition for definition in (*registered, *applied)}


def _requested_columns(retrieve: Callable[..., RetrievalJob]) -> Callable[..., RetrievalJob]:
    """A historical retrieval that returns the features that were asked for, and not the inputs of on-demand views."""

    @wraps(retrieve)
    def get_historical_features(store: FeatureStore, *args: Any, **kwargs: Any) -> RetrievalJob:  # noqa: ANN401
        job = retrieve(store, *args, **kwargs)
        if isinstance(job, SkewlessRetrievalJob):
            features = inspect.signature(retrieve).bind(store, *args, **kwargs).arguments["features"]
            job.return_only(_get_features(store.registry, store.project, features, allow_cache=True))
        return job

    return get_historical_features


def _stored_outputs(materialize: Callable[..., None]) -> Callable[..., None]:
    """The stored outputs of an on-demand view, computed by our engine where the project has it."""

    @wraps(materialize)
    def materialize_odfv(
        store: FeatureStore,
        view: OnDemandFeatureView,
        start: datetime,
        end: datetime,
        **options: Any,  # noqa: ANN401 - Feast's own
    ) -> None:
        engine = getattr(store._get_provider(), "batch_engine", None)  # noqa: SLF001 - Feast has no other way to it
        compute = getattr(engine, "materialize_outputs", None)
        if compute is None:
            materialize(store, view, start, end, **options)
        else:
            compute(store, view.name, start, end)

    return materialize_odfv
