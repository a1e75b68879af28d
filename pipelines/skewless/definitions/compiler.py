"""Compiles a feature service of Feast's registry to a plan, its traced transforms and its sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from feast import Entity, FeatureStore, FeatureView, OnDemandFeatureView, RepoConfig
from feast.errors import FeatureServiceNotFoundException, FeatureViewNotFoundException, FeatureViewVersionNotFound
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.feature_view_projection import FeatureViewProjection
from feast.field import Field as FeastField
from feast.labeling.label_view import LabelView

from skewless.contract.admission import KnownBy
from skewless.contract.errors import InvalidPlan
from skewless.contract.model.assembler import column_types
from skewless.contract.model.transforms import reference
from skewless.contract.plan import (
    DUMMY_ENTITY,
    Field,
    JoinKey,
    ModelColumn,
    Plan,
    PlanView,
    StoredFeature,
    TransformOutput,
)
from skewless.contract.plan_validation import check
from skewless.contract.timestamps import duration_micros
from skewless.definitions.applied_transform import AppliedTransform, applied_transform
from skewless.definitions.compiled_views import CompiledView, CompiledViews, TaggedColumn
from skewless.definitions.data_folder import data_folder
from skewless.definitions.feast_types import dtype_of
from skewless.definitions.file_source import table_of
from skewless.offline.tables.source import TableSource
from skewless.runtime.errors import UnknownFeatureView

StoredView = FeatureView | LabelView | OnDemandFeatureView


@dataclass(frozen=True, slots=True)
class CompiledService:
    """A compiled feature service. `sources` are by the plan's view names; `transforms` is the traced ONNX graph."""

    plan: Plan
    transforms: bytes | None
    sources: dict[str, TableSource]


def compile_service(store: FeatureStore, service: str, data: Path) -> CompiledService:
    """Compile a feature service as it was applied. `data` is the folder that relative source paths start from.

    Raises: InvalidPlan, UnsupportedType.
    """
    try:
        projections = store.get_feature_service(service).feature_view_projections
    except FeatureServiceNotFoundException as error:
        raise InvalidPlan(service, "the registry does not have it; run `skewless apply`") from error
    views: dict[str, PlanView] = {}
    sources: dict[str, TableSource] = {}
    columns: list[ModelColumn] = []
    on_demand: list[OnDemandFeatureView] = []
    for projection in projections:
        definition = _definition(store, projection)
        if isinstance(definition, OnDemandFeatureView):
            on_demand.append(definition)
            columns += [_column(TransformOutput(definition.name, f.name), f) for f in projection.features]
            for inner in definition.source_feature_view_projections.values():
                _add_view(store, inner, views, sources, data)
        else:
            name = _add_view(store, projection, views, sources, data)
            columns += [_column(StoredFeature(name, f.name), f) for f in projection.features]
    applied = [_applied(view) for view in on_demand]
    transforms = tuple(transform.transform for transform in applied)
    plan = Plan(service, store.project, tuple(views.values()), _requests(on_demand), transforms, tuple(columns))
    column_types(check(plan))
    # ONNX takes megabytes, which a retrieval through Feast's SDK does not need.
    from skewless.definitions.merged_graph import merged_graph  # noqa: PLC0415

    return CompiledService(plan, merged_graph({transform.name: transform.graph for transform in applied}), sources)


def compile_view(store: FeatureStore, definition: FeatureView, data: Path) -> tuple[PlanView, TableSource]:
    """One feature view as it is materialized: by its own name and join keys, not a projection's."""
    return view_of(store.config, definition, definition.projection), source_of(definition, data)


def compile_views(store: FeatureStore) -> CompiledViews:
    """All online feature views. Raises: InvalidPlan, UnsupportedType, and what Feast raises for an absent entity."""
    data = data_folder(store.config)
    return CompiledViews(
        str(store.project),
        data,
        tuple(compile_tagged(store, view, data) for view in stored_views(store)),
        tuple(sorted(view.name for view in store.list_on_demand_feature_views() if view.write_to_online_store)),
    )


def compile_tagged(store: FeatureStore, definition: FeatureView, data: Path) -> CompiledView:
    """One feature view with the tags of its definition and columns."""
    plan, source = compile_view(store, definition, data)
    entities = {name: store.get_entity(name) for name in definition.entities if name != DUMMY_ENTITY_NAME}
    return CompiledView(plan, source, dict(definition.tags or {}), tagged_columns(definition, entities))


def tagged_columns(definition: FeatureView, entities: Mapping[str, Entity]) -> tuple[TaggedColumn, ...]:
    """The features of a view, then the join keys of its entities."""
    columns = [TaggedColumn(field.name, str(field.dtype), dict(field.tags or {})) for field in definition.features]
    for name in definition.entities:
        if name in entities:
            entity = entities[name]
            kind = entity.value_type.name.title()
            columns.append(TaggedColumn(entity.join_key, kind, dict(entity.tags or {})))
    return tuple(columns)


def stored_views(store: FeatureStore, only: Sequence[str] = ()) -> list[FeatureView]:
    """The registry's online feature views by name, or those named; also of streams, which are fed by pushes and from their
    batch source. Raises: UnknownFeatureView.
    """
    streams = [view for view in store.list_stream_feature_views() if not is_transformed(view)]
    known = {view.name: view for view in (*store.list_feature_views(), *streams) if view.online}
    for name in only:
        if name not in known:
            raise UnknownFeatureView(name, tuple(sorted(known)))
    return [known[name] for name in (dict.fromkeys(only) or sorted(known))]


def _definition(store: FeatureStore, projection: FeatureViewProjection) -> FeatureView | OnDemandFeatureView:
    try:
        if projection.version_tag is None:
            definition = store.registry.get_any_feature_view(projection.name, store.project, allow_cache=True)
        else:
            definition = store.registry.get_feature_view_by_version(
                projection.name, store.project, projection.version_tag
            )
    except (FeatureViewNotFoundException, FeatureViewVersionNotFound) as error:
        raise InvalidPlan(projection.name, "the registry does not have this feature view") from error
    return cast("FeatureView | OnDemandFeatureView", definition)


def _add_view(
    store: FeatureStore,
    projection: FeatureViewProjection,
    views: dict[str, PlanView],
    sources: dict[str, TableSource],
    data: Path,
) -> str:
    name: str = projection.name_to_use()
    if name not in views:
        definition = cast(FeatureView, _definition(store, projection))
        views[name] = view_of(store.config, definition, projection)
        sources[name] = source_of(definition, data)
    return name


def view_of(config: RepoConfig, definition: StoredView, projection: FeatureViewProjection) -> PlanView:
    """A view under the name and with the join keys that the projection gives it. An on-demand view is one whose outputs
    are stored.

    Raises: InvalidPlan, UnsupportedType.
    """
    tags = definition.tags
    default = getattr(config.offline_store, "known_by", "event_timestamp")
    known_by = str(tags.get("known_by", default))
    if known_by not in ("created_timestamp", "event_timestamp"):
        raise InvalidPlan(
            definition.name, f"its tag known_by is {known_by!r}, not created_timestamp or event_timestamp"
        )
    aliases = projection.join_key_map or {}
    return PlanView(
        name=projection.name_to_use(),
        stored_as=stored_name(config, definition, projection),
        join_keys=tuple(
            JoinKey(aliases.get(key.name, key.name), key.name, dtype_of(key))
            for key in definition.entity_columns
            if key.name != DUMMY_ENTITY[0]
        ),
        fields=tuple(Field(field.name, dtype_of(field)) for field in definition.features),
        ttl_us=duration_micros(ttl) if (ttl := getattr(definition, "ttl", None)) else 0,
        known_by=cast(KnownBy, known_by),
        deleted_field=tags.get("deleted_field"),
    )


def stored_name(config: RepoConfig, definition: StoredView, projection: FeatureViewProjection) -> str:
    """The name by which the online store has a view's rows.

    Where Feast's online versioning is enabled, versions after the first are stored as in references: `name@v2`.
    """
    name: str = definition.name
    if not config.registry.enable_online_feature_view_versioning:
        return name
    version = definition.current_version_number if projection.version_tag is None else projection.version_tag
    return f"{name}@v{version}" if version else name


def source_of(definition: FeatureView | LabelView, data: Path) -> TableSource:
    """The table of a view's history. Raises: InvalidPlan for a source that is not Parquet files, or is transformed."""
    check_untransformed(definition)
    return table_of(definition.name, definition.batch_source, data)


def is_transformed(definition: FeatureView | LabelView) -> bool:
    """Whether the rows of a batch or stream feature view are made from those of its source."""
    return bool(getattr(definition, "feature_transformation", None) or getattr(definition, "aggregations", None))


def check_untransformed(definition: FeatureView | LabelView) -> None:
    """Raises: InvalidPlan."""
    if is_transformed(definition):
        raise InvalidPlan(definition.name, "it transforms its source; write the transformed rows to a table instead")


def _column(source: StoredFeature | TransformOutput, field: FeastField) -> ModelColumn:
    return ModelColumn(reference(source), source, default_of(field))


def default_of(field: FeastField) -> float | None:
    """What stands for a null of a feature in a model's input; None for NaN. Raises: InvalidPlan."""
    default = (field.tags or {}).get("default")
    try:
        return None if default is None else float(default)
    except ValueError as error:
        raise InvalidPlan(field.name, f"its tag default is {default!r}, which is not a number") from error


def _requests(on_demand: Sequence[OnDemandFeatureView]) -> tuple[Field, ...]:
    inputs: dict[str, Field] = {}
    for view in on_demand:
        for source in view.source_request_sources.values():
            for field in source.schema:
                request = Field(field.name, dtype_of(field))
                if inputs.setdefault(field.name, request) != request:
                    types = f"{inputs[field.name].dtype} and {request.dtype}"
                    raise InvalidPlan(view.name, f"its request input {field.name!r} is declared as {types}")
    return tuple(inputs.values())


def _applied(view: OnDemandFeatureView) -> AppliedTransform:
    applied = applied_transform(view)
    if applied is None:
        raise InvalidPlan(
            view.name,
            "the registry has no traced graph of it; write a function of the on-demand view's name in "
            "feature_repo/transforms.py and run `skewless apply`",
        )
    return applied
