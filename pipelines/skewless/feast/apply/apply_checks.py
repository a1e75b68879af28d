"""What `apply` refuses before the registry is written: definitions that our stores could not read, write or check later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from feast import Entity, FeatureView, OnDemandFeatureView, RepoConfig
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.field import Field
from feast.labeling.conflict_policy import ConflictPolicy
from feast.labeling.label_view import LabelView
from feast.type_map import pa_to_feast_value_type
from feast.types import FeastType, from_value_type
from skewless.contract.errors import InvalidPlan
from skewless.definitions.compiled_views import CompiledView
from skewless.definitions.compiler import check_untransformed, default_of, source_of, tagged_columns, view_of
from skewless.definitions.data_folder import DataFolderConfig, data_folder
from skewless.definitions.expectations import expectations
from skewless.definitions.feast_types import dtype_of
from skewless.feast.errors import FeastUnsupported
from skewless.offline.tables.source import TableSource
from skewless.offline.tables.view_rows import newest_schema
from skewless.runtime.errors import SourceMismatch, SourceMissing


@dataclass(frozen=True, slots=True)
class AppliedDefinitions:
    """The definitions of one apply, as Feast inferred them; `entities` by name, with those of the registry."""

    entities: Mapping[str, Entity]
    views: Sequence[FeatureView] = ()
    labels: Sequence[LabelView] = ()
    on_demand: Sequence[OnDemandFeatureView] = ()
    known: Mapping[str, FeatureView] = field(default_factory=dict)
    """All feature views by name, with those of the registry."""

    def check(self, config: RepoConfig) -> None:
        """Raises: InvalidPlan, UnsupportedType, BadExpectation, FeastUnsupported, SourceUnreadable, SourceMismatch, naming the
        definition and the mend.
        """
        for view in self.views:
            self._check_view(config, view)
        for labels in self.labels:
            if labels.conflict_policy is not ConflictPolicy.LAST_WRITE_WINS:
                raise FeastUnsupported(
                    f"the conflict policy {labels.conflict_policy.value} of label view {labels.name!r}",
                    "leave it out: the last label of an entity wins, offline as online",
                )
            self._check_view(config, labels)
        for on_demand in self.on_demand:
            if on_demand.write_to_online_store:
                view_of(config, on_demand, on_demand.projection)
            self._check_request(on_demand)

    def _check_view(self, config: RepoConfig, view: FeatureView | LabelView) -> None:
        self._check_join_keys(view)
        check_untransformed(view)
        plan = view_of(config, view, view.projection)
        for feature in view.features:
            default_of(feature)
        if not isinstance(config.offline_store, DataFolderConfig) or view.batch_source is None:
            return
        source = source_of(view, data_folder(config))
        _check_table(source)
        if not isinstance(view, LabelView):
            tags, columns = dict(view.tags or {}), tagged_columns(view, self.entities)
            expectations(CompiledView(plan, source, tags, columns))

    def _check_join_keys(self, view: FeatureView | LabelView) -> None:
        typed = {column.name for column in view.entity_columns}
        for name in view.entities:
            entity = self.entities.get(name)
            if name != DUMMY_ENTITY_NAME and entity is not None and entity.join_key not in typed:
                raise InvalidPlan(
                    view.name,
                    f"the type of its join key {entity.join_key!r} is unknown; give entity {name!r} a value_type, or "
                    "the view's schema a Field of that name",
                )

    def _check_request(self, view: OnDemandFeatureView) -> None:
        request = {
            sent.name: dtype_of(sent) for source in view.source_request_sources.values() for sent in source.schema
        }
        for projection in view.source_feature_view_projections.values():
            source_view = self.known.get(projection.name)
            aliases = projection.join_key_map or {}
            for key in source_view.entity_columns if source_view is not None else ():
                name, dtype = aliases.get(key.name, key.name), dtype_of(key)
                if request.get(name, dtype) != dtype:
                    raise InvalidPlan(
                        view.name,
                        f"its request input {name!r} is {request[name]} and the join key of that name is {dtype}; "
                        "give both one type, for a request carries one value",
                    )


def _check_table(source: TableSource) -> None:
    """Raises: SourceUnreadable, SourceMismatch for a table that is there and has not the view's times."""
    if source.remote is not None:
        return
    with suppress(SourceMissing):
        names = newest_schema(source).names
        for name in filter(None, (source.timestamp_field, source.created_timestamp_column)):
            if name not in names:
                raise SourceMismatch(source.view, name, f"is absent; the table has {names}")


def infer_mapped_keys(config: RepoConfig, views: Iterable[FeatureView], entities: Mapping[str, Entity]) -> None:
    """Give join keys that the source has under another name the type of its column. Feast looks for them by their own
    name only, and takes a mapped one for a feature. A view without a table yet stays as it is.
    """
    if not isinstance(config.offline_store, DataFolderConfig):
        return
    for view in views:
        typed = {column.name for column in view.entity_columns}
        keys = {entities[name].join_key for name in view.entities if name in entities} - typed
        mapping = getattr(view.batch_source, "field_mapping", None) or {}
        for column, key in mapping.items():
            if key in keys and (dtype := _column_type(config, view, column)) is not None:
                view.entity_columns.append(Field(name=key, dtype=dtype))
                view.features[:] = [feature for feature in view.features if feature.name != key]


def _column_type(config: RepoConfig, view: FeatureView, column: str) -> FeastType | None:
    try:
        schema = newest_schema(source_of(view, data_folder(config)))
    except SourceMissing:
        return None
    if column not in schema.names:
        return None
    return from_value_type(pa_to_feast_value_type(str(schema.field(column).type)))
