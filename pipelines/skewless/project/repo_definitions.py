"""The definitions in a feature repository as Feast would apply them: imported, inferred and compiled.

Held by tests/project/test_apply_change.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.repo_contents import RepoContents

from skewless.contract.errors import InvalidPlan, UnsupportedType
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.compiler import is_transformed, source_of, stored_views, tagged_columns, view_of


def infer(store: FeatureStore, contents: RepoContents) -> None:
    """Complete the definitions as Feast's `apply` does before it writes them: features, keys and times by their tables."""
    store._validate_all_feature_views(  # noqa: SLF001 - Feast's own steps, in its order
        contents.feature_views,
        contents.on_demand_feature_views,
        contents.stream_feature_views,
        contents.label_views,
    )
    store._make_inferences(  # noqa: SLF001
        contents.data_sources,
        contents.entities,
        contents.feature_views,
        contents.on_demand_feature_views,
        contents.stream_feature_views,
        contents.feature_services,
        contents.label_views,
    )


def desired_views(store: FeatureStore, contents: RepoContents, data: Path) -> list[tuple[CompiledView, FeatureView]]:
    """The online feature views, compiled under their plain names, with their definitions; not those whose tables are no
    Parquet. Raises: InvalidPlan, UnsupportedType for a view that cannot be stored.
    """
    entities = {entity.name: entity for entity in contents.entities if entity.name != DUMMY_ENTITY_NAME}
    streams = [view for view in contents.stream_feature_views if not is_transformed(view)]
    return _compiled(store, [view for view in (*contents.feature_views, *streams) if view.online], entities, data)


def registered_views(store: FeatureStore, data: Path) -> list[tuple[CompiledView, FeatureView]]:
    """The same of the registry; what does not compile is left out."""
    entities = {entity.name: entity for entity in store.list_entities()}
    views = []
    for definition in stored_views(store):
        with suppress(InvalidPlan, UnsupportedType):
            views += _compiled(store, [definition], entities, data)
    return views


def _compiled(
    store: FeatureStore, definitions: list[FeatureView], entities: Mapping[str, Entity], data: Path
) -> list[tuple[CompiledView, FeatureView]]:
    views = []
    for definition in definitions:
        plan = view_of(store.config, definition, definition.projection)
        try:
            source = source_of(definition, data)
        except InvalidPlan:
            continue
        columns = tagged_columns(definition, entities)
        views.append((CompiledView(plan, source, dict(definition.tags or {}), columns), definition))
    return views
